"""Sketches of a query set to query vectors of random subsets of it, for the ablation of
its size.

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
    """Random subsets of the query labels that count; the last one is all of them."""

    sizes: list[int]
    """Query labels in each subset."""

    vectors: Float[Tensor, "k s"]
    """Sketch of each subset's weighted mean gradient of the query loss."""


def draw_subsets(
    sketches: SketchSet,
    loss: QueryLoss,
    sizes: tuple[int, ...],
    repeats: int,
    seed: int,
) -> Subsets:
    """`repeats` random subsets of every size below the number of query labels that
    count, then the set of all these. One pass over the sketches for all of them."""
    shards = sketches.plan()
    labels = [sketches.labels(shard) for shard in shards]
    counted = torch.cat([each.counted for each in labels])
    importance = torch.cat([each.importance for each in labels])
    places = np.flatnonzero(counted.numpy())
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(places) for _ in range(repeats)]
    smaller = [size for size in sorted(sizes) if size < len(places)]
    subsets = [order[:size] for size in smaller for order in orders] + [places]
    shares = torch.zeros(len(counted), len(subsets), dtype=torch.float64)
    for column, subset in enumerate(subsets):
        picked = torch.from_numpy(subset)
        shares[picked, column] = 1 / importance[picked].sum()
    total, start = None, 0
    for shard, each in zip(shards, labels, strict=True):
        shard_shares = shares[start : start + len(each.signs)]
        derivatives = shard_shares * each.query_derivatives(loss)[:, None]
        terms = torch.zeros(each.num_comparisons, len(subsets), dtype=torch.float64)
        terms.index_add_(0, each.rows, derivatives)
        total = quantized_products.combine(*sketches.payload(shard, each), terms, total)
        start += len(each.signs)
    assert total is not None, "no shards"
    return Subsets([len(subset) for subset in subsets], total)
