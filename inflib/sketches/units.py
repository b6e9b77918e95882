"""Comparisons to the units that get gradients, and units' sketches to comparisons'.

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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inflib.data.pairs_folder import Shard
from inflib.model.packing import Unit
from inflib.shapes.pairs import prompt_of

UnitKind = Literal["comparison", "response"]
"""What gets one gradient in a pair set."""

_WORTHWHILE_SHARE = 0.9
"""Responses become the units where they take less than this share of the tokens that
comparisons take. To save only a few tokens is not worth its price: |s|^2 of some
comparisons is then that of their sketches (UnitSketches.comparisons)."""

_CANCELS = 1e-3
"""Share of |x|^2 + |y|^2 below which |x - y|^2 is not formed of inner products: in
float32 these have an error of about 1e-7 |x|^2, which would be more than 1e-4 of it."""


def choose_unit(shards: Iterable[Shard], shares_prefix: bool) -> tuple[UnitKind, str]:
    """(unit of a pair set, why in words): responses where they need 10% fewer tokens.

    shares_prefix: whether the model computes a comparison's prompt once.
    """
    planned = list(shards)
    whole = sum(shard.num_tokens for shard in planned)
    shared = sum(shard.num_shared for shard in planned)
    distinct = sum(shard.num_distinct for shard in planned)
    pairs = shared if shares_prefix else whole
    how = "prompt shared" if shares_prefix else "prompt not shared by this model"
    reason = f"{distinct:,} tokens of distinct responses, {pairs:,} of pairs ({how})"
    worthwhile = distinct < _WORTHWHILE_SHARE * pairs
    return ("response" if worthwhile else "comparison"), reason


@dataclass(frozen=True)
class Plan:
    """The units of a shard in the order in which they are computed."""

    units: list[Unit]
    first: Int[Tensor, " n"]
    """Index of each comparison's unit; of its response a where responses are units."""

    second: Int[Tensor, " n"] | None
    """Index of each comparison's response b; None where comparisons are units."""


def plan_units(rows: list[dict[str, Any]], kind: UnitKind) -> Plan:
    """Units of a shard's comparisons, short ones first so that padding is small.

    rows: comparison_id, and token ids in prefix, a and b. Responses: each distinct one
    once, those to one prompt side by side, so that they share a batch.
    """
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
    index = {item: i for i, item in enumerate(distinct)}
    indices = torch.tensor([index[item] for item in sequences])
    units = [Unit([], (list(ids),)) for _, ids in distinct]
    return Plan(units, indices[0::2], indices[1::2])


@dataclass(frozen=True)
class UnitSketches:
    """Values, sketches and gradients' inner products of a shard's units, in order."""

    values: Float[Tensor, " u"]
    """float64: margins of comparisons, rewards of responses."""

    sketches: Float[Tensor, "u k"]
    """float32, on the model's device."""

    products: list[Float[Tensor, "l _ _"]]
    """float64, one tensor per batch of consecutive units: inner products of the whole
    gradients of its units, by layer."""

    bins: list[slice]
    """Range of each layer's entries in a sketch."""

    token_budget: int
    """Tokens per batch that memory allowed in the end."""

    def squares(self) -> Float[Tensor, "u l"]:
        """|s|^2 of each unit's whole gradient, by layer."""
        diagonals = [products.diagonal(dim1=1, dim2=2).T for products in self.products]
        return torch.cat(diagonals)

    def comparisons(
        self, plan: Plan
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n l"], Float[Tensor, "n k"]]:
        """(margins, |s|^2 by layer, sketches) of the comparisons in the shard's order.

        |s|^2 is that of the whole gradient, |x|^2 + |y|^2 - 2 x . y, except where two
        responses were computed in different batches (prompts with more responses than a
        batch holds), or have nearly equal gradients: there it is that of the subtracted
        sketch, by layer, with a relative standard error of about sqrt(2 / K)
        (inflib.numerics.oporp), however small it is.
        """
        first, second = plan.first, plan.second
        squares = self.squares()
        if second is None:
            return self.values[first], squares[first], self.sketches[first]
        sketches = self.sketches[first] - self.sketches[second]
        sums = squares[first] + squares[second]
        inner, together = self._inner(first, second)
        sq_norms = sums - 2 * inner
        estimated = ~together[:, None] | (sq_norms < _CANCELS * sums)
        of_sketches = torch.stack(
            [sketches[:, bins].double().square().sum(1) for bins in self.bins], dim=1
        )
        sq_norms = torch.where(estimated, of_sketches.cpu(), sq_norms)
        margins = self.values[first] - self.values[second]
        return margins, sq_norms, sketches

    def _inner(
        self, first: Int[Tensor, " n"], second: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n l"], Bool[Tensor, " n"]]:
        """(inner product of the gradients of units `first` and `second`, by layer;
        whether they were computed in one batch, without which there is none)."""
        sizes = torch.tensor([products.shape[1] for products in self.products])
        start, offset = sizes.cumsum(0) - sizes, (sizes**2).cumsum(0) - sizes**2
        batch_of = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        batch = batch_of[first]
        place = (first - start[batch]) * sizes[batch] + second - start[batch]
        together = batch_of[second] == batch
        flat = torch.cat([products.flatten(1) for products in self.products], dim=1).T
        return flat[offset[batch] + torch.where(together, place, 0)], together
