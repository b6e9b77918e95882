"""Comparisons to units: which gradients a shard needs, and comparisons from them.

    n  comparisons     u  units     k  entries of a sketch     l  layers

A margin's gradient is the difference of two rewards' gradients, and OPORP is linear. So
where responses recur over comparisons (4 responses make 6 comparisons), each distinct
response can be a unit, and comparisons are formed by subtraction in sketch space;
otherwise each comparison is a unit, its prompt computed once for both responses.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.data.pairs import prompt_of
from inflib.data.pairs_folder import Shard
from inflib.model.packing import Unit

UnitKind = Literal["comparison", "response"]


_WORTH = 0.9
"""Share of the tokens of pairs below which single responses are worth it: they give up
the exact |s|^2 of some comparisons."""


def choose_unit(shards: Iterable[Shard], shares_prefix: bool) -> tuple[UnitKind, str]:
    """The unit that needs clearly fewer tokens, and why in words."""
    totals = [(s.num_tokens, s.num_shared, s.num_distinct) for s in shards]
    whole, shared, distinct = (sum(column) for column in zip(*totals, strict=True))
    pair = shared if shares_prefix else whole
    how = "prompt shared" if shares_prefix else "prompt not shared by this model"
    counts = f"{distinct:,} tokens of distinct responses, {pair:,} of pairs ({how})"
    return ("response" if distinct < _WORTH * pair else "comparison"), counts


@dataclass(frozen=True)
class Plan:
    """The units of a shard in the order they are computed."""

    units: list[Unit]
    first: Int[Tensor, " n"]
    """Unit of each comparison (its response a, when units are responses)."""

    second: Int[Tensor, " n"] | None
    """Unit of response b."""


def plan_units(rows: list[dict[str, Any]], kind: UnitKind) -> Plan:
    """Units of comparisons (comparison_id, prefix, a, b), those of a prompt together,
    short prompts first so that padding is small."""
    if kind == "comparison":
        units = [Unit(row["prefix"], (row["a"], row["b"])) for row in rows]
        order = sorted(range(len(units)), key=lambda i: units[i].longest)
        place = torch.empty(len(units), dtype=torch.long)
        place[order] = torch.arange(len(units))
        return Plan([units[i] for i in order], place, None)
    sequences = [
        (prompt_of(row["comparison_id"]), tuple(row["prefix"] + row[name]))
        for row in rows
        for name in ("a", "b")
    ]
    longest: dict[str, int] = {}
    for prompt, ids in sequences:
        longest[prompt] = max(longest.get(prompt, 0), len(ids))
    distinct = sorted(
        dict.fromkeys(sequences), key=lambda item: (longest[item[0]], item[0])
    )
    number = {item: i for i, item in enumerate(distinct)}
    units_of = torch.tensor([number[item] for item in sequences])
    units = [Unit([], (list(ids),)) for _, ids in distinct]
    return Plan(units, units_of[0::2], units_of[1::2])


@dataclass(frozen=True)
class UnitSketches:
    """Values, gradients' inner products and sketches of the units of a shard."""

    values: Float[Tensor, " u"]
    """float64: margins of comparisons, rewards of responses."""

    sketches: Float[Tensor, "u k"]
    products: list[Float[Tensor, "l _ _"]]
    """float64, per batch: inner products of its units' whole gradients, by layer.
    Batches take consecutive units."""

    bins: list[slice]
    """Of each layer."""

    token_budget: int
    """What memory allowed in the end."""

    def squares(self) -> Float[Tensor, "u l"]:
        """|s|^2 of each unit, of the whole gradient, by layer."""
        diagonals = [p.diagonal(dim1=1, dim2=2).T for p in self.products]
        return torch.cat(diagonals)

    def comparisons(
        self, plan: Plan
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n l"], Float[Tensor, "n k"]]:
        """(margins, |s|^2 by layer, sketches) of the comparisons, in the plan's order.

        |s|^2 is that of the whole gradient, except where two responses were computed
        in different batches (prompts with more responses than a batch holds): there
        their inner product is that of the sketches, whose standard error is
        about |x| |y| / sqrt(K) (inflib.numerics.oporp).
        """
        first, second = plan.first, plan.second
        squares = self.squares()
        if second is None:
            return self.values[first], squares[first], self.sketches[first]
        sketches = self.sketches[first] - self.sketches[second]
        norms = squares[first] + squares[second] - 2 * self._inner(first, second)
        return self.values[first] - self.values[second], norms.clamp(min=0), sketches

    def _inner(
        self, first: Int[Tensor, " n"], second: Int[Tensor, " n"]
    ) -> Float[Tensor, "n l"]:
        sizes = torch.tensor([products.shape[1] for products in self.products])
        start, offset = sizes.cumsum(0) - sizes, (sizes**2).cumsum(0) - sizes**2
        batch = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        own = batch[first]
        place = (first - start[own]) * sizes[own] + second - start[own]
        apart = batch[second] != own
        place[apart] = 0
        flat = torch.cat([p.flatten(1) for p in self.products], dim=1).T
        found = flat[offset[own] + place]
        i, j = first[apart], second[apart]
        products = self.sketches[i] * self.sketches[j]
        sums = [products[:, bins].sum(1) for bins in self.bins]
        found[apart] = torch.stack(sums, dim=1).double().cpu()
        return found
