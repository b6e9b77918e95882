"""Passes over the sketch store: sums over a group of shards, scores of a shard.

    k  entries of a sketch     l  layers     q  query vectors     g  query groups
    n  labels     c  comparisons     p  probes

Every function here is stateless: it reads named shards and returns what they add.
Callers merge in plan order, in float64, so the bits do not depend on who did what when.
The labels of a query set are dealt into groups by their prompt's hash, and every query
vector is kept as its groups' shares: they add up to the vector, and their spread is the
query set's sampling error.
"""

import hashlib
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Kind, QueryLoss
from inflib.data.label_edits import Edits
from inflib.data.pairs import PROMPT_DIGITS
from inflib.data.pairs_folder import Shard
from inflib.numerics import curvature, influence, quantized_products
from inflib.scores.labels import Labels, read_labels
from inflib.sketches import store
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Moments:
    """Sums over labels whose gradient is finite and not zero."""

    num_labels: float
    squares: Float[Tensor, " l"]
    """|g|^2 by layer."""

    hessian_trace: float
    """h |s|^2."""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.num_labels + other.num_labels,
            self.squares + other.squares,
            self.hessian_trace + other.hessian_trace,
        )


@dataclass(frozen=True)
class GroupSums:
    """Sums over the labels of a query set, by group."""

    vectors: Float[Tensor, "k g"]
    """Gradients of the query loss."""

    counts: Float[Tensor, " g"]
    """Labels whose gradient is finite and not zero."""

    def __add__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.vectors + other.vectors, self.counts + other.counts)


def moments(
    run: Folder, pairs: str, shards: list[Shard], edits: Edits | None = None
) -> Moments:
    """Of a group of shards."""
    found = (read_labels(run, pairs, shard, edits) for shard in shards)
    return reduce(add, map(_moments, found))


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
    run: Folder, pairs: str, shards: list[Shard], num_groups: int, loss: QueryLoss
) -> GroupSums:
    """Of a group of shards."""
    return reduce(add, [_query_sums(run, pairs, s, num_groups, loss) for s in shards])


def _query_sums(
    run: Folder, pairs: str, shard: Shard, num_groups: int, loss: QueryLoss
) -> GroupSums:
    labels = read_labels(run, pairs, shard)
    payload, scales = read_payload(run, pairs, shard)
    prompts = [c[:PROMPT_DIGITS] for c in labels.table["comparison_id"].to_pylist()]
    group = torch.tensor([int(prompt, 16) % num_groups for prompt in prompts])
    terms = torch.zeros(labels.num_comparisons, num_groups, dtype=torch.float64)
    weights = labels.query_weights(loss)
    terms.index_put_((labels.rows, group), weights, accumulate=True)
    counts = group[labels.counted].bincount(minlength=num_groups).double()
    return GroupSums(quantized_products.combine(payload, scales, terms), counts)


def curvature_products(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    kind: Kind,
    vectors: Float[Tensor, "k q"],
    lambdas: list[float],
    edits: Edits | None = None,
) -> Float[Tensor, "k q"]:
    """Sum over labels of coefficient s (s . v), for each vector v.

    Coefficients: h (gauss_newton), w^2 (empirical_fisher), DataInf's own, which need
    lambda, one for every block. datainf_layer takes products layer by layer.
    """
    blocks = [(slice(0, len(vectors)), slice(None))]
    if kind == "datainf_layer":
        layers = enumerate(read_layers(run))
        blocks = [(y.bins, slice(i, i + 1)) for i, y in layers]
    prepared = [quantized_products.Vectors(vectors[bins]) for bins, _ in blocks]
    total = quantized_products.empty_total(*vectors.shape)
    for shard in shards:
        labels = read_labels(run, pairs, shard, edits)
        payload, scales = read_payload(run, pairs, shard)
        for number, (bins, own) in enumerate(blocks):
            if kind in ("datainf", "datainf_layer"):
                norms = labels.sq_norms[:, own].sum(1)
                norms = torch.where(labels.usable, norms, 0.0)
                lam = lambdas[number]
                terms = curvature.datainf_coefficients(labels.weights, norms, lam)
            else:
                terms = labels.curvature_weights(kind)
            aligned = quantized_products.times(
                payload[:, bins], scales, prepared[number]
            )
            aligned *= labels.by_comparison(labels.multiplicity * terms)[:, None]
            quantized_products.combine(payload[:, bins], scales, aligned, total[bins])
    return total


def noise_sums(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    kind: Kind,
    num_probes: int,
    edits: Edits | None = None,
) -> Float[Tensor, "k p"]:
    """Sum over labels of root(coefficient) noise s, with h or w^2 as coefficients and
    independent signs as noise: each column's covariance is n H.

    The noise depends on the shard alone.
    """
    total = None
    for shard in shards:
        labels = read_labels(run, pairs, shard, edits)
        terms = labels.multiplicity * labels.curvature_weights(kind)
        terms = terms.sqrt()[:, None]
        digest = hashlib.sha256(f"{pairs} {shard.name}".encode()).digest()
        random = np.random.default_rng(list(digest))
        signs = random.choice([-1.0, 1.0], size=(len(terms), num_probes))
        noise = torch.zeros(labels.num_comparisons, num_probes, dtype=torch.float64)
        noise.index_add_(0, labels.rows, terms * torch.from_numpy(signs))
        total = quantized_products.combine(
            *read_payload(run, pairs, shard), noise, total
        )
    assert total is not None, "no shards"
    return total


def alignments(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    vectors: Float[Tensor, "k q"],
    edits: Edits | None = None,
) -> Float[Tensor, "n q"]:
    """-w s . v of those labels of the shards that count."""
    found, prepared = [], quantized_products.Vectors(vectors)
    for shard in shards:
        labels = read_labels(run, pairs, shard, edits)
        aligned = quantized_products.times(*read_payload(run, pairs, shard), prepared)
        scores = influence.influence(aligned, labels.weights, labels.rows)
        found.append(scores[labels.counted])
    return torch.cat(found)


def sizes(
    run: Folder, pairs: str, shards: list[Shard], kind: Kind, edits: Edits | None = None
) -> Float[Tensor, "n 2"]:
    """w^2 |s|^2, and the leverage, of those labels of the shards that count."""
    found = []
    for shard in shards:
        labels = read_labels(run, pairs, shard, edits)
        squares = labels.weights.square() * labels.sq_norms.sum(1)
        both = torch.stack([squares, labels.leverage(kind)], dim=1)
        found.append(both[labels.counted])
    return torch.cat(found)


def read_payload(run: Folder, pairs: str, shard: Shard) -> tuple[np.ndarray, Tensor]:
    payload, scales = store.read_payload(run / "sketches" / pairs, shard.name)
    return payload, torch.from_numpy(scales)
