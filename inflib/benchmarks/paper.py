"""The paper's compression of a gradient, from its description.

The flattened gradient is padded to a multiple of 2^24 and shuffled as a matrix: its
rows and its columns are permuted in turn, 100 times. Then come random signs, and sums
over K equal bins. ("Understanding Impact of Human Feedback via Influence Functions".)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_MULTIPLE = 2**24
_SHUFFLES = 100


class PaperSketch:
    """Sketcher of gradients of `size` entries."""

    def __init__(self, size: int, sketch_size: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.sketch_size = sketch_size
        self.padded = math.ceil(size / _MULTIPLE) * _MULTIPLE
        rows = 2**12
        shape = (rows, self.padded // rows)
        self._permutations = [
            torch.randperm(shape[shuffle % 2], generator=generator)
            for shuffle in range(_SHUFFLES)
        ]
        self._shape = shape
        self._signs = torch.randint(0, 2, (self.padded,), generator=generator) * 2.0 - 1

    def __call__(self, gradient: Float[Tensor, " d"]) -> Float[Tensor, " k"]:
        matrix = gradient.new_zeros(self.padded)
        matrix[: len(gradient)] = gradient
        matrix = matrix.view(self._shape)
        for shuffle, permutation in enumerate(self._permutations):
            matrix = matrix.index_select(shuffle % 2, permutation)
        signed = matrix.flatten() * self._signs
        return signed.view(self.sketch_size, -1).sum(dim=1)
