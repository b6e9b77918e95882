"""Shards to the sums and rows over their labels that scoring is made of.

    k  entries of a sketch     l  layers     q  vectors     g  query groups
    n  labels     c  comparisons     p  probes

Every function here is stateless: it reads the shards it is given and returns their sums
or rows, in float64; a pass (scores.passes) adds or joins them over all shards. The
labels of a query set are divided into query groups by their prompt's hash, and a query
vector is kept as what each query group adds to it: the spread of these shares is the
query set's sampling error. A label counts when its gradient is finite and not zero, and
as often as its weight says.
"""

import hashlib
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Curvature, QueryLoss
from inflib.data.pairs_folder import Shard
from inflib.numerics import curvature, influence, quantized_products
from inflib.numerics.largest_terms import Terms
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.shapes.pairs import prompt_of
from inflib.sketches.manifest import read_layers


@dataclass(frozen=True)
class Moments:
    """Sums over the labels of some shards that count, each times the label's weight."""

    num_labels: float
    """Sum of the weights, n: the number of labels where all of them are 1."""

    squares: Float[Tensor, " l"]
    """Sum of |g|^2 of the loss gradients for weight 1, by layer."""

    hessian_trace: float
    """Sum of h |s|^2: n times the trace of Gauss-Newton's H."""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.num_labels + other.num_labels,
            self.squares + other.squares,
            self.hessian_trace + other.hessian_trace,
        )


@dataclass(frozen=True)
class QueryGroupSums:
    """Sums over the labels of a query set, by query group."""

    vectors: Float[Tensor, "k g"]
    """Sum of the query loss's gradients, as sketches."""

    counts: Float[Tensor, " g"]
    """Weight of the labels that count; their number where all weights are 1."""

    def __add__(self, other: "QueryGroupSums") -> "QueryGroupSums":
        return QueryGroupSums(self.vectors + other.vectors, self.counts + other.counts)


def moments(sketches: SketchSet, shards: list[Shard]) -> Moments:
    """Weights, |g|^2 by layer and h |s|^2, summed over the labels of these shards."""
    return reduce(add, (_moments(sketches.labels(shard)) for shard in shards))


def _moments(labels: Labels) -> Moments:
    norms = labels.sq_norms[labels.counted]
    squares = labels.curvature_weights("empirical_fisher")[labels.counted]
    hessian = labels.curvature_weights("gauss_newton")[labels.counted]
    return Moments(
        float(labels.importance[labels.counted].sum()),
        (squares[:, None] * norms).sum(0),
        float((hessian * norms.sum(1)).sum()),
    )


def query_sums(
    sketches: SketchSet, shards: list[Shard], num_groups: int, loss: QueryLoss
) -> QueryGroupSums:
    """Gradients of the query loss and weights, summed over the labels of these shards
    by query group, of which there are num_groups."""
    return reduce(add, [_query_sums(sketches, s, num_groups, loss) for s in shards])


def _query_sums(
    sketches: SketchSet, shard: Shard, num_groups: int, loss: QueryLoss
) -> QueryGroupSums:
    labels = sketches.labels(shard)
    entries, scales = sketches.payload(shard, labels)
    ids = sketches.table(shard, ["comparison_id"])["comparison_id"]
    prompts = map(prompt_of, ids.to_pylist())
    groups = torch.tensor([int(prompt, 16) % num_groups for prompt in prompts])
    terms = torch.zeros(labels.num_comparisons, num_groups, dtype=torch.float64)
    derivatives = labels.query_derivatives(loss)
    terms.index_put_((labels.rows, groups), derivatives, accumulate=True)
    counted, counts = labels.counted, torch.zeros(num_groups, dtype=torch.float64)
    counts.index_add_(0, groups[counted], labels.importance[counted])
    return QueryGroupSums(quantized_products.combine(entries, scales, terms), counts)


def curvature_products(
    sketches: SketchSet,
    shards: list[Shard],
    kind: Curvature,
    vectors: Float[Tensor, "k q"],
    lambdas: list[float],
) -> Float[Tensor, "k q"]:
    """Sum over the labels of these shards of coefficient s (s . v), for each vector v.

    The coefficient is w h for gauss_newton and w d^2 for empirical_fisher (see
    numerics.curvature), so the sum over all labels is n H v. For datainf it is
    DataInf's (curvature.datainf_coefficients), and datainf_layer does the same within
    each layer; lambdas: DataInf's lambda for the whole, or for each layer.
    """
    blocks = [(slice(0, len(vectors)), slice(None))]
    if kind == "datainf_layer":
        layers = read_layers(sketches.run)
        blocks = [(layer.bins, slice(i, i + 1)) for i, layer in enumerate(layers)]
    prepared = [quantized_products.Vectors(vectors[bins]) for bins, _ in blocks]
    total = quantized_products.empty_total(*vectors.shape)
    for shard in shards:
        labels = sketches.labels(shard)
        entries, scales = sketches.payload(shard, labels)
        for i, (bins, layers_of_block) in enumerate(blocks):
            if kind in ("datainf", "datainf_layer"):
                norms = labels.sq_norms[:, layers_of_block].sum(1)
                norms = torch.where(labels.usable, norms, 0.0)
                terms = labels.importance * curvature.datainf_coefficients(
                    labels.unit_derivatives, norms, lambdas[i]
                )
            else:
                terms = labels.curvature_weights(kind)
            aligned = quantized_products.times(entries[:, bins], scales, prepared[i])
            aligned *= labels.by_comparison(terms)[:, None]
            quantized_products.combine(entries[:, bins], scales, aligned, total[bins])
    return total


def noise_sums(
    sketches: SketchSet, shards: list[Shard], kind: Curvature, num_probes: int
) -> Float[Tensor, "k p"]:
    """Sum over labels of sqrt(c) e s, with random signs e, independent for each label
    and probe; c is w h for gauss_newton and w d^2 for empirical_fisher.

    Summed over all shards, each column's covariance is n H. The signs depend on the
    pair set's and the shard's name alone.
    """
    total = None
    for shard in shards:
        labels = sketches.labels(shard)
        terms = labels.curvature_weights(kind).sqrt()[:, None]
        digest = hashlib.sha256(f"{sketches.name} {shard.name}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        signs = rng.choice([-1.0, 1.0], size=(len(terms), num_probes))
        noise = torch.zeros(labels.num_comparisons, num_probes, dtype=torch.float64)
        noise.index_add_(0, labels.rows, terms * torch.from_numpy(signs))
        total = quantized_products.combine(
            *sketches.payload(shard, labels), noise, total
        )
    assert total is not None, "no shards"
    return total


def alignments(
    sketches: SketchSet, shards: list[Shard], vectors: Float[Tensor, "k q"]
) -> Float[Tensor, "n q"]:
    """-d s . v of the labels of these shards that count, for each vector v.

    It is influence for v = H^-1 times a query vector.
    """
    scores, prepared = [], quantized_products.Vectors(vectors)
    for shard in shards:
        labels = sketches.labels(shard)
        aligned = quantized_products.times(*sketches.payload(shard, labels), prepared)
        influences = influence.influence(aligned, labels.derivatives, labels.rows)
        scores.append(influences[labels.counted])
    return torch.cat(scores)


def sizes(
    sketches: SketchSet, shards: list[Shard], kind: Curvature
) -> Float[Tensor, "n 2"]:
    """(d^2 |s|^2, leverage) of the labels of these shards that count.

    The first is positive: a label without a gradient (weight 0, a tie that the model
    calls one) gets the smallest number, so that its alignment, 0, over it is 0.
    """
    sizes_of_shards = []
    for shard in shards:
        labels = sketches.labels(shard)
        squares = labels.derivatives.square() * labels.sq_norms.sum(1)
        squares = squares.clamp(min=torch.finfo(squares.dtype).tiny)
        columns = torch.stack([squares, labels.leverage(kind)], dim=1)
        sizes_of_shards.append(columns[labels.counted])
    return torch.cat(sizes_of_shards)


def term_sizes(
    sketches: SketchSet, shards: list[Shard], kind: Curvature
) -> Float[Tensor, " c"]:
    """c |s|^2 of each comparison of these shards, n times the trace of its term of H;
    0 where it has none."""
    return torch.cat([_term_sizes(sketches.labels(s), kind) for s in shards])


def _term_sizes(labels: Labels, kind: Curvature) -> Float[Tensor, " c"]:
    weights = labels.curvature_weights(kind)
    norms = torch.where(labels.usable, labels.sq_norms.sum(1), 0.0)
    return labels.by_comparison(weights * norms)


def read_terms(
    sketches: SketchSet, shards: list[Shard], kind: Curvature, above: float
) -> list[Terms]:
    """The terms of H whose term_sizes are above a number, one entry for each shard;
    weights are c, n times those of H."""
    found = []
    for shard in shards:
        labels = sketches.labels(shard)
        rows = torch.nonzero(_term_sizes(labels, kind) > above)[:, 0]
        if len(rows):
            entries, scales = sketches.payload(shard, labels)
            weights = labels.by_comparison(labels.curvature_weights(kind))
            found.append(Terms(entries[rows.numpy()], scales[rows], weights[rows]))
    return found
