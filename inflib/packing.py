"""Comparisons to padded batches under a token budget.

    b  comparisons in a batch     t  tokens of the longest sequence

Row i of a batch is response a of comparison i, row b + i its response b. Padding is on
the right, so positions and the causal mask need nothing special.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Both responses of b comparisons."""

    input_ids: Int[Tensor, "rows t"]
    attention_mask: Int[Tensor, "rows t"]
    last: Int[Tensor, " rows"]
    """Index of each sequence's true last token, whatever the pad id is."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.last.to(device),
        )


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[range]:
    """Consecutive rows per batch, so that 2 * rows * longest <= token_budget.

    A single comparison over the budget is a batch of its own.
    """
    batches, start, longest = [], 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > start and 2 * (row + 1 - start) * longest > token_budget:
            batches.append(range(start, row))
            start, longest = row, length
    if lengths:
        batches.append(range(start, len(lengths)))
    return batches


def pad(responses: Sequence[tuple[list[int], list[int]]], pad_id: int) -> Batch:
    """Full token ids of (response a, response b) per comparison -> a batch."""
    rows = [a for a, _ in responses] + [b for _, b in responses]
    lengths = torch.tensor([len(ids) for ids in rows])
    width = int(lengths.max())
    input_ids = torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in rows])
    mask = (torch.arange(width) < lengths[:, None]).long()
    return Batch(input_ids, mask, lengths - 1)
