"""Sums and rows that a group of shards gives: the functions that a pass is made of.

    k  entries of a sketch     l  layers     q  vectors     g  query groups
    n  labels     c  comparisons     p  probes

Every function here is stateless: it reads named shards and returns what they add, in
float64. The labels of a query set are dealt into groups by their prompt's hash, and
every query vector is kept as its groups' shares: they add up to the vector, and their
spread is the query set's sampling error.
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
from inflib.data.pairs import prompt_of
from inflib.data.pairs_folder import Shard
from inflib.numerics import curvature, influence, quantized_products
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.manifest import read_layers


@dataclass(frozen=True)
class Moments:
    """Sums over the labels of some shards whose gradient is finite and not zero."""

    num_labels: float
    squares: Float[Tensor, " l"]
    """|g|^2 of the loss gradients, by layer."""

    hessian_trace: float
    """h |s|^2: num_labels times the trace of Gauss-Newton's H."""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.num_labels + other.num_labels,
            self.squares + other.squares,
            self.hessian_trace + other.hessian_trace,
        )


@dataclass(frozen=True)
class GroupSums:
    """Sums over the labels of a query set, by query group."""

    vectors: Float[Tensor, "k g"]
    """Gradients of the query loss."""

    counts: Float[Tensor, " g"]
    """Labels whose gradient is finite and not zero."""

    def __add__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.vectors + other.vectors, self.counts + other.counts)


def moments(sketches: SketchSet, shards: list[Shard]) -> Moments:
    """Label count, |g|^2 by layer and h |s|^2, summed over these shards."""
    return reduce(add, (_moments(sketches.labels(shard)) for shard in shards))


def _moments(labels: Labels) -> Moments:
    norms = labels.sq_norms[labels.counted]
    counts = labels.multiplicity[labels.counted]
    squares = counts * labels.weights.square()[labels.counted]
    hessian = counts * labels.hessian_weights[labels.counted]
    return Moments(
        float(counts.sum()),
        (squares[:, None] * norms).sum(0),
        float((hessian * norms.sum(1)).sum()),
    )


def query_sums(
    sketches: SketchSet, shards: list[Shard], num_groups: int, loss: QueryLoss
) -> GroupSums:
    """Gradients of the query loss and label counts, summed over these shards."""
    return reduce(add, [_query_sums(sketches, s, num_groups, loss) for s in shards])


def _query_sums(
    sketches: SketchSet, shard: Shard, num_groups: int, loss: QueryLoss
) -> GroupSums:
    labels = sketches.labels(shard)
    entries, scales = sketches.payload(shard)
    prompts = map(prompt_of, labels.table["comparison_id"].to_pylist())
    group = torch.tensor([int(prompt, 16) % num_groups for prompt in prompts])
    terms = torch.zeros(labels.num_comparisons, num_groups, dtype=torch.float64)
    weights = labels.query_weights(loss)
    terms.index_put_((labels.rows, group), weights, accumulate=True)
    counts = group[labels.counted].bincount(minlength=num_groups).double()
    return GroupSums(quantized_products.combine(entries, scales, terms), counts)


def curvature_products(
    sketches: SketchSet,
    shards: list[Shard],
    kind: Curvature,
    vectors: Float[Tensor, "k q"],
    lambdas: list[float],
) -> Float[Tensor, "k q"]:
    """Sum over labels of coefficient s (s . v), for each vector v.

    Coefficients: h (gauss_newton), w^2 (empirical_fisher), DataInf's own, which need
    lambda, one for every block. datainf_layer takes products layer by layer.
    """
    blocks = [(slice(0, len(vectors)), slice(None))]
    if kind == "datainf_layer":
        layers = enumerate(read_layers(sketches.run))
        blocks = [(layer.bins, slice(i, i + 1)) for i, layer in layers]
    prepared = [quantized_products.Vectors(vectors[bins]) for bins, _ in blocks]
    total = quantized_products.empty_total(*vectors.shape)
    for shard in shards:
        labels = sketches.labels(shard)
        entries, scales = sketches.payload(shard)
        for number, (bins, layers_of_block) in enumerate(blocks):
            if kind in ("datainf", "datainf_layer"):
                norms = labels.sq_norms[:, layers_of_block].sum(1)
                norms = torch.where(labels.usable, norms, 0.0)
                lam = lambdas[number]
                terms = curvature.datainf_coefficients(labels.weights, norms, lam)
            else:
                terms = labels.curvature_weights(kind)
            aligned = quantized_products.times(
                entries[:, bins], scales, prepared[number]
            )
            aligned *= labels.by_comparison(labels.multiplicity * terms)[:, None]
            quantized_products.combine(entries[:, bins], scales, aligned, total[bins])
    return total


def noise_sums(
    sketches: SketchSet, shards: list[Shard], kind: Curvature, num_probes: int
) -> Float[Tensor, "k p"]:
    """Sum over labels of root(coefficient) noise s, with h or w^2 as coefficients and
    independent signs as noise: each column's covariance is n H.

    The noise depends on the shard alone.
    """
    total = None
    for shard in shards:
        labels = sketches.labels(shard)
        terms = labels.multiplicity * labels.curvature_weights(kind)
        terms = terms.sqrt()[:, None]
        digest = hashlib.sha256(f"{sketches.name} {shard.name}".encode()).digest()
        random = np.random.default_rng(list(digest))
        signs = random.choice([-1.0, 1.0], size=(len(terms), num_probes))
        noise = torch.zeros(labels.num_comparisons, num_probes, dtype=torch.float64)
        noise.index_add_(0, labels.rows, terms * torch.from_numpy(signs))
        total = quantized_products.combine(*sketches.payload(shard), noise, total)
    assert total is not None, "no shards"
    return total


def alignments(
    sketches: SketchSet, shards: list[Shard], vectors: Float[Tensor, "k q"]
) -> Float[Tensor, "n q"]:
    """-w s . v of those labels of the shards that count."""
    parts, prepared = [], quantized_products.Vectors(vectors)
    for shard in shards:
        labels = sketches.labels(shard)
        aligned = quantized_products.times(*sketches.payload(shard), prepared)
        scores = influence.influence(aligned, labels.weights, labels.rows)
        parts.append(scores[labels.counted])
    return torch.cat(parts)


def sizes(
    sketches: SketchSet, shards: list[Shard], kind: Curvature
) -> Float[Tensor, "n 2"]:
    """w^2 |s|^2, and the leverage, of those labels of the shards that count."""
    parts = []
    for shard in shards:
        labels = sketches.labels(shard)
        squares = labels.weights.square() * labels.sq_norms.sum(1)
        both = torch.stack([squares, labels.leverage(kind)], dim=1)
        parts.append(both[labels.counted])
    return torch.cat(parts)
