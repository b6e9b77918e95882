"""Labels to batches in which a prompt, and every response to it, is computed once.

    n  labels     r  rewards of a batch

Labels on one prompt share a unit of model.packing: its prefix is what all of their
sequences begin with, its tails are the distinct rests. Six labels that compare four
responses cost one prompt and four responses, not six prompts twice and twelve
responses.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.model.packing import Batch, Unit, pack, plan_batches, worth_sharing
from inflib.numerics.rounding import wide

_LONGEST_UNIT = 1024
"""Tokens up to which labels join a unit: attention within it is of all its tokens."""

Labelled = tuple[list[int], list[int], int]
"""Token ids of the chosen and of the rejected sequence, and the prompt's number."""


@dataclass(frozen=True)
class Share:
    """A part of a batch in a label's margin: what the part adds to the gradient of a
    loss, over the loss's derivative in one of its rewards, times the sign."""

    part: int
    reward: int
    sign: int


@dataclass(frozen=True)
class Parts:
    """A batch in parts whose gradients can be told, and its labels' margins in them."""

    bounds: list[list[int]]
    """Where parts begin and end among the rows of a layer's input, for each number of
    rows that it may have."""

    sides: list[tuple[int, int]]
    """Rewards of each label's chosen and rejected response."""

    shares: list[list[Share]]
    """Of parts in each label's margin r(chosen) - r(rejected)."""

    def turned(self, labels: Iterable[tuple[int, int]]) -> "Parts":
        """The same of some labels, (row, sign): with a sign of -1, r(rejected) -
        r(chosen)."""
        sides, shares = list[tuple[int, int]](), list[list[Share]]()
        for row, sign in labels:
            first, second = self.sides[row][::sign]
            sides.append((first, second))
            own = [Share(s.part, s.reward, sign * s.sign) for s in self.shares[row]]
            shares.append(own)
        return Parts(self.bounds, sides, shares)

    @staticmethod
    def of_rows(width: int, rows: int, sides: list[tuple[int, int]]) -> "Parts":
        """Of a batch of padded rows of so many tokens, each with a reward."""
        bounds = [[*range(rows + 1)], [*range(0, rows * width + 1, width)]]
        shares = [[Share(c, c, 1), Share(r, r, -1)] for c, r in sides]
        return Parts(bounds, sides, shares)


@dataclass(frozen=True)
class LabelBatch:
    """A batch, and which of its rewards each label compares."""

    batch: Batch

    rows: Int[Tensor, " n"]
    """Place of each label among those that were given."""

    chosen: Int[Tensor, " n"]
    """Place of the chosen response's reward among the r of the batch."""

    rejected: Int[Tensor, " n"]

    def margins(self, rewards: Float[Tensor, " r"]) -> Float[Tensor, " n"]:
        """r(chosen) - r(rejected); float32 at least."""
        values = wide(rewards)
        return values[self.chosen] - values[self.rejected]

    def parts(self) -> Parts:
        """Units of a flat batch that `separable` made, or rows."""
        batch = self.batch
        sides = [*zip(self.chosen.tolist(), self.rejected.tolist(), strict=True)]
        if batch.layout is None:
            rows, width = batch.input_ids.shape
            return Parts.of_rows(width, rows, sides)
        # a unit's loss depends on the difference of its two rewards alone
        shares = [[Share(chosen // 2, chosen, 1)] for chosen, _ in sides]
        return Parts([batch.reward_bounds(), batch.token_bounds()], sides, shares)

    def to(self, device: torch.device) -> "LabelBatch":
        """The same batch on a device."""
        places = (x.to(device) for x in (self.rows, self.chosen, self.rejected))
        return LabelBatch(self.batch.to(device), *places)


def label_batches(
    labels: Iterable[Labelled],
    token_budget: int,
    longest_flat: int,
    pad_id: int,
    separable: bool = False,
    pairwise: bool = False,
) -> Iterator[LabelBatch]:
    """Batches of at most token_budget tokens, but for a unit that has more by itself.

    longest_flat: tokens of the longest sequence that the model takes in a flat batch
    (model.attention); longer ones, and all of an encoder, are rows of like length,
    padded with pad_id. separable: a flat unit has two sequences at most, so that its
    labels' gradients can be told from those of other comparisons; pairwise: any unit.
    """
    limits = _Limits(token_budget, longest_flat, separable, pairwise)
    groups = _groups(labels, limits)
    flat, rows = (
        [group for group in groups if group.flat == is_flat]
        for is_flat in (True, False)
    )
    rows.sort(key=lambda group: group.unit.longest)
    yield from _batches(flat, token_budget, True, pad_id)
    yield from _batches(rows, token_budget, False, pad_id)


def _batches(
    groups: list["_Group"], token_budget: int, flat: bool, pad_id: int
) -> Iterator[LabelBatch]:
    following = iter(groups)
    units = [group.unit for group in groups]
    for planned in plan_batches(units, token_budget, flat):
        found: list[tuple[int, int, int]] = []
        start = 0
        for unit in planned:
            found += next(following).at(start)
            start += len(unit.tails)
        rows, chosen, rejected = torch.tensor(found).T
        yield LabelBatch(pack(planned, flat, pad_id), rows, chosen, rejected)


@dataclass(frozen=True)
class _Limits:
    """What labels may share a unit, see label_batches."""

    token_budget: int
    longest_flat: int
    separable: bool
    pairwise: bool


class _Group:
    """Labels on one prompt that are computed together."""

    def __init__(self, limits: _Limits) -> None:
        self._limits = limits
        self.labels: list[tuple[int, int, int]] = []
        """(place, chosen, rejected), these as places in `_sequences`."""
        self._sequences: dict[tuple[int, ...], int] = {}
        self._prefix: list[int] = []

    def takes(self, chosen: list[int], rejected: list[int]) -> bool:
        """Whether a label may join without making the unit too long."""
        if not self.labels:
            return True
        new = {tuple(chosen), tuple(rejected)} - self._sequences.keys()
        prefix = len(common(self._prefix, common(chosen, rejected)))
        lengths = [len(sequence) for sequence in (*self._sequences, *new)]
        if self._limits.pairwise and len(lengths) > 2:
            return False
        if self._is_flat(prefix, lengths):
            if self._limits.separable and len(lengths) > 2:
                return False
            tokens = prefix + sum(length - prefix for length in lengths)
            return not new or tokens <= min(_LONGEST_UNIT, self._limits.token_budget)
        return not new or len(lengths) * max(lengths) <= self._limits.token_budget

    def add(self, place: int, chosen: list[int], rejected: list[int]) -> None:
        shared = common(chosen, rejected)
        self._prefix = common(self._prefix, shared) if self.labels else shared
        sides = [
            self._sequences.setdefault(tuple(ids), len(self._sequences))
            for ids in (chosen, rejected)
        ]
        self.labels.append((place, sides[0], sides[1]))

    @property
    def flat(self) -> bool:
        """Whether the unit is computed with its prefix once, or as padded rows."""
        return self._is_flat(len(self._prefix), [len(s) for s in self._sequences])

    def _is_flat(self, prefix: int, lengths: list[int]) -> bool:
        tokens = prefix + sum(length - prefix for length in lengths)
        return max(lengths) <= self._limits.longest_flat and worth_sharing(
            prefix, tokens
        )

    @property
    def unit(self) -> Unit:
        length = len(self._prefix)
        tails = tuple(list(sequence[length:]) for sequence in self._sequences)
        return Unit(self._prefix, tails)

    def at(self, start: int) -> list[tuple[int, int, int]]:
        """The labels, when the unit's first reward is at `start`."""
        return [(i, start + chosen, start + other) for i, chosen, other in self.labels]


def common(first: list[int], second: list[int]) -> list[int]:
    """What both lists begin with."""
    length = min(len(first), len(second))
    differs = np.flatnonzero(np.not_equal(first[:length], second[:length]))
    return first[: differs[0] if len(differs) else length]


def _groups(labels: Iterable[Labelled], limits: _Limits) -> list[_Group]:
    groups: list[_Group] = []
    current: dict[int, _Group] = {}
    for place, (chosen, rejected, prompt) in enumerate(labels):
        group = current.get(prompt)
        if group is None or not group.takes(chosen, rejected):
            group = current[prompt] = _Group(limits)
            groups.append(group)
        group.add(place, chosen, rejected)
    return groups
