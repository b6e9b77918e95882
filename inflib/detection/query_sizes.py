"""Query vectors of random parts of a query set, for the ablation of its size.

k  entries of a sketch     s  subsets
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import QueryLoss
from inflib.numerics import quantized_products
from inflib.scores.sketch_set import SketchSet


@dataclass(frozen=True)
class Subsets:
    """Parts of a query set; the last one is all of it."""

    sizes: list[int]
    vectors: Float[Tensor, "k s"]
    """Mean gradient of each."""


def draw_subsets(
    sketches: SketchSet,
    loss: QueryLoss,
    sizes: tuple[int, ...],
    repeats: int,
    seed: int,
) -> Subsets:
    """`repeats` draws of every size that the query set has more labels than."""
    shards = sketches.plan()
    labels = [sketches.labels(shard) for shard in shards]
    counted = torch.cat([each.counted for each in labels])
    places = np.flatnonzero(counted.numpy())
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(places) for _ in range(repeats)]
    smaller = [size for size in sorted(sizes) if size < len(places)]
    parts = [order[:size] for size in smaller for order in orders] + [places]
    chosen = torch.zeros(len(counted), len(parts), dtype=torch.float64)
    for column, part in enumerate(parts):
        chosen[torch.from_numpy(part), column] = 1 / len(part)
    total, start = None, 0
    for shard, each in zip(shards, labels, strict=True):
        chosen_here = chosen[start : start + len(each.signs)]
        weights = chosen_here * each.query_weights(loss)[:, None]
        terms = torch.zeros(each.num_comparisons, len(parts), dtype=torch.float64)
        terms.index_add_(0, each.rows, weights)
        total = quantized_products.combine(*sketches.payload(shard), terms, total)
        start += len(each.signs)
    assert total is not None, "no shards"
    return Subsets([len(part) for part in parts], total)
