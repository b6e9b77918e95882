"""Units to batches: rows padded to the longest, or one flat row without padding.

    u  units of a batch     r  rewards (u, or 2u)     t  tokens of a row

A unit is what gets one gradient: a comparison (of its margin) or a single response (of
its reward). Its sequences are its prefix followed by each of its tails.

    rows   one sequence per row, a unit's rows side by side, padded on the right: for
           every model; a prefix is computed once for each tail
    flat   one row [prefix | tail a | tail b | next unit ...]: the prefix is computed
           once, nothing is padded; tails restart their positions after the prefix, and
           attention keeps units and tails apart (inflib.model.attention)
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from inflib.model.response_tokens import ResponseTokens, response_tokens

_DENSE = 4096, 16_384
"""Tokens of a unit above which it is flat only where its prefix is half of it, and not
at all."""


def worth_sharing(prefix: int, tokens: int) -> bool:
    """Whether a unit of so many tokens gains by a prefix that is computed once:
    attention within it takes a mask of the square of its tokens, which long tails
    without a long prefix do not earn."""
    many, most = _DENSE
    return tokens <= most and (tokens <= many or 2 * prefix >= tokens)


@dataclass(frozen=True)
class Unit:
    """Token ids: a shared prefix and one or two tails."""

    prefix: list[int]
    tails: tuple[list[int], ...]

    @property
    def num_tokens(self) -> int:
        """Tokens when the prefix is shared."""
        return len(self.prefix) + sum(map(len, self.tails))

    @property
    def longest(self) -> int:
        """Tokens of the longest full sequence."""
        return len(self.prefix) + max(map(len, self.tails))

    @property
    def sequences(self) -> list[list[int]]:
        """The full sequences, prefix and tail."""
        return [self.prefix + tail for tail in self.tails]


@dataclass(frozen=True)
class Layout:
    """Where the units of a flat batch lie, so that attention keeps them apart."""

    bounds: list[int]
    """Unit i is tokens bounds[i] to bounds[i + 1]."""

    unit: Int[Tensor, " t"]
    """Unit of each token."""

    tail: Int[Tensor, " t"]
    """0 in a prefix, 1 in a unit's first tail, 2 in its second."""

    cache: dict[object, object] = field(default_factory=dict)
    """Masks made for this batch, kept for its other layers."""


@dataclass(frozen=True)
class Batch:
    """Token ids of several units, ready for the model, and where rewards are read."""

    input_ids: Int[Tensor, "rows t"]
    attention_mask: Int[Tensor, "rows t"] | None
    """1 on tokens, 0 on padding; None in a flat batch."""

    position_ids: Int[Tensor, "1 t"] | None
    """Positions in a flat batch; None for padded rows: the model counts by itself."""

    layout: Layout | None
    """Where the units of a flat batch lie; None for padded rows."""

    last: Int[Tensor, " r"]
    """Place in the flattened batch of each sequence's true last token, whatever the pad
    id is: its reward is read there. A unit's sequences are neighbours."""

    num_units: int

    responses: ResponseTokens
    """Where the tokens of its tails are predicted, for language models."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; host copies need not wait for it."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        layout = self.layout and Layout(
            self.layout.bounds,
            self.layout.unit.to(device, non_blocking=True),
            self.layout.tail.to(device, non_blocking=True),
        )
        ids, last = moved(self.input_ids), moved(self.last)
        assert ids is not None and last is not None
        return Batch(
            ids,
            moved(self.attention_mask),
            moved(self.position_ids),
            layout,
            last,
            self.num_units,
            self.responses.to(device),
        )

    def token_bounds(self) -> list[int]:
        """Unit i is tokens bounds[i] to bounds[i + 1] of the flattened batch."""
        if self.layout is not None:
            return self.layout.bounds
        per_unit = self.input_ids.numel() // self.num_units
        return list(range(0, self.input_ids.numel() + 1, per_unit))

    def reward_bounds(self) -> list[int]:
        """Unit i is rewards bounds[i] to bounds[i + 1]."""
        per_unit = len(self.last) // self.num_units
        return list(range(0, len(self.last) + 1, per_unit))


def plan_batches(
    units: Iterable[Unit], token_budget: int, flat: bool
) -> Iterator[list[Unit]]:
    """Cut the units, in their order, into batches of at most token_budget tokens.

    Padding included; a single unit over the budget is a batch by itself. flat: whether
    `pack` will make flat rows of the batches, or padded rows.
    """
    batch: list[Unit] = []
    tokens, rows, longest = 0, 0, 0
    for unit in units:
        tokens, rows = tokens + unit.num_tokens, rows + len(unit.tails)
        longest = max(longest, unit.longest)
        if batch and (tokens if flat else rows * longest) > token_budget:
            yield batch
            batch = []
            tokens, rows, longest = unit.num_tokens, len(unit.tails), unit.longest
        batch.append(unit)
    if batch:
        yield batch


def pack(units: Sequence[Unit], flat: bool, pad_id: int) -> Batch:
    """One batch of the units: a flat row, or rows padded with pad_id."""
    return _flat(units) if flat else _rows(units, pad_id)


def _rows(units: Sequence[Unit], pad_id: int) -> Batch:
    rows = [ids for unit in units for ids in unit.sequences]
    lengths = torch.tensor([len(ids) for ids in rows])
    width = int(lengths.max())
    input_ids = torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in rows])
    mask = (torch.arange(width) < lengths[:, None]).long()
    last = torch.arange(len(rows)) * width + lengths - 1
    tails = [(len(unit.prefix), len(tail)) for unit in units for tail in unit.tails]
    starts = [row * width + prefix for row, (prefix, _) in enumerate(tails)]
    rows_of = itertools.accumulate((len(unit.tails) for unit in units), initial=0)
    responses = response_tokens(
        input_ids.flatten(),
        [row * width for row in rows_of],
        [start - 1 if n else -1 for start, (n, _) in zip(starts, tails, strict=True)],
        starts,
        [length for _, length in tails],
    )
    return Batch(input_ids, mask, None, None, last, len(units), responses)


def _flat(units: Sequence[Unit]) -> Batch:
    ids: list[int] = []
    positions: list[int] = []
    tails: list[int] = []
    last: list[int] = []
    before: list[int] = []
    starts: list[int] = []
    bounds = [0]
    for unit in units:
        prefix_length = len(unit.prefix)
        end_of_prefix = len(ids) + prefix_length - 1
        ids += unit.prefix
        positions += range(prefix_length)
        tails += [0] * prefix_length
        for number, tail in enumerate(unit.tails, start=1):
            before.append(end_of_prefix if prefix_length else -1)
            starts.append(len(ids))
            ids += tail
            positions += range(prefix_length, prefix_length + len(tail))
            tails += [number] * len(tail)
            last.append(len(ids) - 1 if tail else end_of_prefix)
        bounds.append(len(ids))
    counts = torch.tensor(bounds).diff()
    unit_of = torch.repeat_interleave(torch.arange(len(units)), counts)
    layout = Layout(bounds, unit_of, torch.tensor(tails))
    flattened = torch.tensor(ids)
    lengths = [len(tail) for unit in units for tail in unit.tails]
    return Batch(
        flattened[None],
        None,
        torch.tensor([positions]),
        layout,
        torch.tensor(last),
        len(units),
        response_tokens(flattened, bounds, before, starts, lengths),
    )
