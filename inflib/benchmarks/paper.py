"""A gradient to a sketch the paper's way, written from its description.

    d  entries of a gradient     k  entries of a sketch

The flattened gradient is padded to a multiple of 2^24 and shuffled 100 times: in turn
the rows and the columns of a matrix are permuted, whose shape is drawn anew each time,
a quarter to a half of the padded length's factors of two making the permuted side. Then
come random signs, and sums over K equal bins. ("Understanding Impact of Human Feedback
via Influence Functions", after RapidIn, arXiv:2405.11724.)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_FACTORS = 24
_SHUFFLES = 100


class PaperSketch:
    """Sketches gradients of `size` entries."""

    def __init__(self, size: int, sketch_size: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.sketch_size = sketch_size
        self.padded = math.ceil(size / 2**_FACTORS) * 2**_FACTORS
        powers = torch.randint(
            _FACTORS // 4, _FACTORS // 2 + 1, (_SHUFFLES,), generator=generator
        )
        self._permutations = [
            torch.randperm(2**power, generator=generator) for power in powers.tolist()
        ]
        self._signs = torch.randint(0, 2, (self.padded,), generator=generator) * 2.0 - 1

    def __call__(self, gradient: Float[Tensor, " d"]) -> Float[Tensor, " k"]:
        vector = gradient.new_zeros(self.padded)
        vector[: len(gradient)] = gradient
        for shuffle, permutation in enumerate(self._permutations):
            side = len(permutation)
            if shuffle % 2 == 0:
                vector = vector.reshape(side, -1)[permutation]
            else:
                vector = vector.reshape(-1, side)[:, permutation]
        signed = vector.flatten() * self._signs
        return signed.view(self.sketch_size, -1).sum(dim=1)
