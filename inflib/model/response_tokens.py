"""Which tokens of a batch are predicted where: those of its sequences' tails.

    r  sequences     p  tokens of tails that something stands before     s  places

A language model's hidden state at one token predicts the next one. The first token of a
tail is predicted at the last token of its prefix, whatever lies between them in a flat
batch, and by tails with one prefix at the same place.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class ResponseTokens:
    """The tokens of a batch's tails."""

    places: Int[Tensor, " s"]
    """Places in the flattened batch whose hidden states predict them, each once, in the
    order of the batch."""

    bounds: list[int]
    """Unit i is places[bounds[i]] to places[bounds[i + 1]]."""

    source: Int[Tensor, " p"]
    """Where each token is predicted: an index into `places`."""

    token: Int[Tensor, " p"]
    """Its token id."""

    sequence: Int[Tensor, " p"]
    """The sequence that it is of, of the r of the batch."""

    def to(self, device: torch.device) -> "ResponseTokens":
        """The same on a device; host copies need not wait for it."""
        places, source, token, sequence = (
            tensor.to(device, non_blocking=True)
            for tensor in (self.places, self.source, self.token, self.sequence)
        )
        return ResponseTokens(places, self.bounds, source, token, sequence)


def response_tokens(
    ids: Int[Tensor, " t"],
    unit_bounds: list[int],
    before: list[int],
    start: list[int],
    length: list[int],
) -> ResponseTokens:
    """The tokens of tails in a flattened batch.

    ids: of the batch; unit_bounds: unit i is tokens unit_bounds[i] to unit_bounds[i +
    1]; then, for each sequence: place of its prefix's last token (-1: it has none, and
    nothing predicts the tail's first token), of its tail's first one, tokens of its
    tail.
    """
    lengths = torch.tensor(length)
    sequence = torch.repeat_interleave(torch.arange(len(length)), lengths)
    first = torch.tensor(start)[sequence]
    within = torch.arange(len(sequence)) - (lengths.cumsum(0) - lengths)[sequence]
    target = first + within
    source = torch.where(within == 0, torch.tensor(before)[sequence], target - 1)
    has_source = source >= 0
    source, target, sequence = (x[has_source] for x in (source, target, sequence))
    places, index = source.unique(return_inverse=True)  # sorted
    bounds = torch.searchsorted(places, torch.tensor(unit_bounds)).tolist()
    return ResponseTokens(places, bounds, index, ids[target], sequence)
