"""Gradients to sketches by OPORP: one permutation, one random projection.

    d  entries of a gradient     k  entries of a sketch     b  gradients
    e  entries of a chunk

A gradient of D entries, padded to a multiple of K, is permuted by one uniform
permutation, its entries get random signs, and each of K equal runs is summed. Inner
products of sketches are unbiased; with <x, y> estimated by sketches of x and y,

    variance = (D-K)/(D-1) * (|x|^2 |y|^2 + <x,y>^2 - 2 sum x^2 y^2) / K

Li & Li, "OPORP: One Permutation + One Random Projection", KDD 2023, arXiv:2302.03505.

The randomness is Philox's raw 64-bit stream, which numpy keeps stable over versions
and machines (NEP 19); sorting it gives the permutation.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.numerics.layer_bins import lay_out, layer_of


class Oporp:
    """Sketches gradients of D entries, which are given block by block.

    The same bits on every run and with any number of threads, on a GPU as well.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        sketch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        by_layer: bool = False,
    ) -> None:
        """sizes: entries of each block, in order, D in all; seed: of permutation and
        signs; by_layer: each layer is permuted by itself, into bins of its own (see
        numerics.layer_bins).
        """
        self.sketch_size = sketch_size
        self.layers = lay_out(sizes, sketch_size, by_layer)
        self.layer_of = {block: layer_of(block, by_layer) for block in sizes}
        self._blocks: dict[str, list[Entries]] = {}
        cut = by_rank if torch.device(device).type == "cuda" else in_order
        for number, layer in enumerate(self.layers):
            width = layer.stop - layer.start
            bins, signs = draw(layer.num_parameters, width, seed, number)
            start = 0
            for block, size in sizes.items():
                if self.layer_of[block] == layer.name:
                    block_entries = slice(start, start + size)
                    chunks = cut(
                        layer.start + bins[block_entries], signs[block_entries]
                    )
                    self._blocks[block] = [chunk.to(device) for chunk in chunks]
                    start += size

    def entries(self, block: str) -> list["Entries"]:
        """A block's entries, in the chunks that `add` takes one after the other."""
        return self._blocks[block]

    def add(
        self, into: Float[Tensor, "b k"], block: str, grads: Float[Tensor, "b d"]
    ) -> None:
        """Add to the sketches `into`, in place, the entries of one block.

        grads: the block's entries of each gradient.
        """
        for source, bins, signs in self.entries(block):
            values = grads if source is None else grads[:, source]
            # Several times faster than index_add_, which walks column by column.
            signed = values.to(into.dtype) * signs
            into.scatter_add_(1, bins.expand(len(grads), -1), signed)


class Entries(NamedTuple):
    """A chunk of a block's entries, with their bins and signs."""

    source: Int[Tensor, " e"] | None
    """Places of the entries in the block; None: all, in order."""

    bins: Int[Tensor, " e"]
    signs: Float[Tensor, " e"]

    def to(self, device: torch.device | str) -> "Entries":
        """The same entries, on a device."""
        source = self.source if self.source is None else self.source.to(device)
        return Entries(source, self.bins.to(device), self.signs.to(device))


def in_order(bins: Int[Tensor, " d"], signs: Float[Tensor, " d"]) -> list[Entries]:
    """All entries as one chunk: a CPU adds a row's entries in order."""
    return [Entries(None, bins.long(), signs)]


def by_rank(bins: Int[Tensor, " d"], signs: Float[Tensor, " d"]) -> list[Entries]:
    """Chunks: the first entry of every bin, then the second entries, and so on.

    Within a chunk no two entries share a bin. So every bin's entries are added in one
    order, even by a GPU, which adds those of a chunk in any order.
    """
    order = torch.argsort(bins, stable=True)
    ordered = bins[order].long()
    rank = torch.arange(len(ordered)) - torch.searchsorted(ordered, ordered)
    chunks = (rank == r for r in range(int(rank.max()) + 1))
    return [Entries(order[c], ordered[c], signs[order[c]]) for c in chunks]


def draw(
    num_parameters: int, sketch_size: int, seed: int, layer: int = 0
) -> tuple[Int[Tensor, " d"], Float[Tensor, " d"]]:
    """Bin (0 <= bin < K) and sign (+1 or -1) of every gradient entry.

    Each bin stands for ceil(D / K) positions of the permuted, padded gradient. layer:
    number of the layer, each of which has random numbers of its own.
    """
    per_bin = -(-num_parameters // sketch_size)
    keys = np.random.Philox(key=[seed, 2 * layer]).random_raw(per_bin * sketch_size)
    position = np.empty(len(keys), dtype=np.int64)
    position[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    words = np.random.Philox(key=[seed, 2 * layer + 1]).random_raw(
        -(-num_parameters // 64)
    )
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")
    signs = bits[:num_parameters].astype(np.float32) * 2 - 1
    bins = (position[:num_parameters] // per_bin).astype(np.int32)
    return torch.from_numpy(bins), torch.from_numpy(signs)
