"""OPORP: one permutation, one random projection. Pure tensor math.

    d  entries of a gradient     k  entries of a sketch     b  gradients

A gradient of D entries, padded to a multiple of K, is permuted by one uniform
permutation, its entries get random signs, and each of K equal runs is summed. Inner
products of sketches are unbiased; with <x, y> estimated by sketches of x and y,

    variance = (D-K)/(D-1) * (|x|^2 |y|^2 + <x,y>^2 - 2 sum x^2 y^2) / K

Li & Li, "OPORP: One Permutation + One Random Projection", KDD 2023, arXiv:2302.03505.

The randomness is Philox's raw 64-bit stream, which numpy keeps stable over versions
and machines (NEP 19); sorting it gives the permutation.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class Oporp:
    """Sketcher of gradients with D = sum of the block sizes, in the blocks' order."""

    def __init__(
        self,
        sizes: dict[str, int],
        sketch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sketch_size = sketch_size
        bins, signs = draw(sum(sizes.values()), sketch_size, seed)
        self._bins: dict[str, Int[Tensor, " d"]] = {}
        self._signs: dict[str, Float[Tensor, " d"]] = {}
        start = 0
        for name, size in sizes.items():
            self._bins[name] = bins[start : start + size].to(device)
            self._signs[name] = signs[start : start + size].to(device)
            start += size

    def add(
        self, into: Float[Tensor, "b k"], block: str, grads: Float[Tensor, "b d"]
    ) -> None:
        """Add a block's share of each gradient's sketch, in place."""
        signed = grads.to(into.dtype) * self._signs[block]
        into.index_add_(1, self._bins[block], signed)


def draw(
    num_parameters: int, sketch_size: int, seed: int
) -> tuple[Int[Tensor, " d"], Float[Tensor, " d"]]:
    """Bin (0 <= bin < K) and sign (+1 or -1) of every gradient entry.

    Each bin stands for ceil(D / K) positions of the permuted, padded gradient.
    """
    per_bin = -(-num_parameters // sketch_size)
    keys = np.random.Philox(key=[seed, 0]).random_raw(per_bin * sketch_size)
    place = np.empty(len(keys), dtype=np.int64)
    place[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    words = np.random.Philox(key=[seed, 1]).random_raw(-(-num_parameters // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")
    signs = bits[:num_parameters].astype(np.float32) * 2 - 1
    bins = (place[:num_parameters] // per_bin).astype(np.int32)
    return torch.from_numpy(bins), torch.from_numpy(signs)
