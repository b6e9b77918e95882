"""Some training labels to the training labels nearest to them, and the query labels
that they harm most, by their gradients.

    t  labels that are looked at     n  labels     m  query labels
    k  entries of a sketch           f  entries of a folded sketch     c  comparisons

The nearest are those with the largest cosine of the losses' gradients: positive when a
step that lowers one loss lowers the other. With all labels, the products of whole
sketches would take minutes, so sketches are folded first: the bins of each layer are
added up in runs, which is OPORP with fewer bins (numerics.oporp), and still unbiased.
The cosine is that of the folded sketches, whose standard error is (1 - cosine^2) /
sqrt(f), f being about FOLDED. Products with query labels are of the whole sketches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from inflib.config.score import QueryLoss
from inflib.data.pairs_folder import Shard
from inflib.numerics.layer_bins import Layer
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.sketches import store

FOLDED = 4096
"""Entries of a folded sketch, about; smaller sketches stay as they are."""

_ROWS_AT_ONCE = 256
"""Sketches that are decoded together."""

_FOLDED_AT_ONCE = 1024
"""Sketches that are folded together."""


@dataclass(frozen=True)
class Gradients:
    """The loss gradients of some labels of a task's shards, as sketches."""

    vectors: Float[Tensor, "t k"]
    """Derivative of the label's loss times its comparison's sketch, float32."""

    norms: Float[Tensor, " t"]
    """Norms of the whole gradients, not of their sketches."""

    comparisons: Int[Tensor, " t"]
    """Number of each label's comparison among those of all shards."""

    @staticmethod
    def joined(parts: "Iterable[Gradients]", count: int) -> "Gradients":
        """Those of several tasks, `count` together, without a second copy of all."""
        vectors, others, start = torch.empty(0, 0), [], 0
        for part in parts:
            if not len(vectors):
                vectors = torch.empty(count, part.vectors.shape[1])
            vectors[start : start + len(part.vectors)] = part.vectors
            others.append((part.norms, part.comparisons))
            start += len(part.vectors)
        return Gradients(vectors, *map(torch.cat, zip(*others, strict=True)))


Starts = dict[str, tuple[int, int]]
"""{shard: (number of its first comparison, number of its first label)}."""


def starts_of(plan: list[Shard]) -> Starts:
    """Where each shard of a plan starts."""
    comparisons = np.cumsum([0, *(shard.num_comparisons for shard in plan)]).tolist()
    labels = np.cumsum([0, *(shard.num_labels for shard in plan)]).tolist()
    places = zip(comparisons, labels, strict=True)
    return {shard.name: place for shard, place in zip(plan, places, strict=False)}


@dataclass(frozen=True)
class Nearest:
    """The labels of some shards that are nearest to each label that is looked at."""

    labels: Int[Tensor, "t top"]
    """Number among the labels of all shards; -1 where there are fewer than top."""

    cosines: Float[Tensor, "t top"]
    """The largest first."""

    @staticmethod
    def best(parts: "Iterable[Nearest]", top: int) -> "Nearest":
        """The best of several, those that come first where cosines are equal."""
        labels, cosines = None, None
        for part in parts:
            if labels is None or cosines is None:
                labels, cosines = part.labels, part.cosines
                continue
            labels = torch.cat([labels, part.labels], dim=1)
            cosines, order = _first(torch.cat([cosines, part.cosines], dim=1), top)
            labels = labels.gather(1, order)
        assert labels is not None and cosines is not None, "no shards"
        return Nearest(labels, cosines)


def read_gradients(
    sketches: SketchSet, shards: list[Shard], rows: dict[str, list[int]], starts: Starts
) -> Gradients:
    """Gradients of the labels in these rows of each shard."""
    parts = []
    for shard in shards:
        labels, picked = sketches.labels(shard), torch.tensor(rows[shard.name])
        entries, scales = sketches.payload(shard, labels)
        of = labels.rows[picked]
        decoded = store.decode(entries[of.numpy()], scales[of].numpy())
        slopes = labels.derivatives[picked]
        vectors = decoded.mul_(slopes[:, None].float())
        parts.append(
            Gradients(
                vectors, labels.gradient_norms[picked], of + starts[shard.name][0]
            )
        )
    return Gradients.joined(parts, sum(len(part.vectors) for part in parts))


def fold(
    entries: Shaped[np.ndarray, "c k"], layers: list[Layer]
) -> Float[np.ndarray, "c f"]:
    """Sketches with fewer bins, as stored entries or as sketches; float32.

    By NumPy, which walks a row's memory in order: some times faster than torch here.
    """
    times = -(-entries.shape[1] // FOLDED)
    if times == 1:
        return entries.astype(np.float32)
    # 256 int8 of at most 127 fit into an int16
    small = entries.dtype == np.int8 and times <= 256
    kind = np.int16 if small else np.float32
    folded = []
    for layer in layers:
        rows = entries[:, layer.bins]
        width = -(-rows.shape[1] // times)
        runs = rows.shape[1] // width
        whole = rows[:, : runs * width].reshape(len(rows), runs, width)
        total = whole.sum(1, dtype=kind)
        rest = rows[:, runs * width :]
        total[:, : rest.shape[1]] += rest
        folded.append(total)
    return np.concatenate(folded, axis=1, dtype=np.float32)


def directions(folded: Float[np.ndarray, "c f"]) -> Float[np.ndarray, "c f"]:
    """Each row in unit length; zeros stay zeros."""
    return folded / _lengths(folded)[:, None]


def _lengths(folded: Float[np.ndarray, "c f"]) -> Float[np.ndarray, " c"]:
    """Length of each row; 1 for zeros."""
    norms = np.sqrt(np.einsum("ij,ij->i", folded, folded))
    return np.where(norms > 0, norms, np.float32(1))


def nearest(
    sketches: SketchSet,
    shards: list[Shard],
    layers: list[Layer],
    targets: Float[Tensor, "t f"],
    comparisons: Int[Tensor, " t"],
    starts: Starts,
    top: int,
) -> Nearest:
    """The labels of these shards that are nearest to each target.

    targets: `directions` of folded gradients; comparisons: number of each target's own
    comparison, whose labels are left out. So are labels that do not count, and those
    without a gradient.
    """
    parts = (
        _nearest(sketches, s, layers, targets, comparisons, starts[s.name], top)
        for s in shards
    )
    return Nearest.best(parts, top)


def _nearest(
    sketches: SketchSet,
    shard: Shard,
    layers: list[Layer],
    targets: Float[Tensor, "t f"],
    comparisons: Int[Tensor, " t"],
    start: tuple[int, int],
    top: int,
) -> Nearest:
    labels = sketches.labels(shard)
    entries, _ = sketches.payload(shard, labels)
    signs = torch.where(labels.counted, labels.derivatives.sign(), 0.0).float()
    products, lengths = [], []
    for first in range(0, len(entries), _FOLDED_AT_ONCE):
        folded = fold(entries[first : first + _FOLDED_AT_ONCE], layers)
        products.append(targets @ torch.from_numpy(folded).T)
        lengths.append(torch.from_numpy(_lengths(folded)))
    by_comparison = torch.cat(products, dim=1) / torch.cat(lengths)
    cosines = by_comparison[:, labels.rows] * signs
    cosines[:, signs == 0] = -torch.inf
    cosines[comparisons[:, None] == (labels.rows + start[0])] = -torch.inf
    best, order = _first(cosines, top)
    found = torch.where(best.isfinite(), order + start[1], -1)
    return Nearest(found, best)


def _first(
    values: Float[Tensor, "t n"], top: int
) -> tuple[Float[Tensor, "t top"], Int[Tensor, "t top"]]:
    """(largest values of each row, their places), filled up with -inf."""
    missing = max(0, top - values.shape[1])
    if missing:
        filler = torch.full((len(values), missing), -torch.inf, dtype=values.dtype)
        values = torch.cat([values, filler], dim=1)
    best, order = values.topk(top, dim=1)
    return best, order


@dataclass(frozen=True)
class Harm:
    """What a step that raises each target label's weight does to query labels."""

    products: Float[Tensor, "t m"]
    """Minus the inner product of gradients: > 0 where the target raises the query
    label's loss."""

    cosines: Float[Tensor, "t m"]
    """Cosine of the gradients, < 0 where it raises it; 0 without a gradient."""


def harm_of(
    sketches: SketchSet, shards: list[Shard], targets: Gradients, loss: QueryLoss
) -> Harm:
    """Products of the targets with each label of these shards of a query set, in plan
    order; 0 for labels that do not count."""
    parts = [_harm_of(sketches, shard, targets, loss) for shard in shards]
    return Harm(
        torch.cat([part.products for part in parts], dim=1),
        torch.cat([part.cosines for part in parts], dim=1),
    )


def _harm_of(
    sketches: SketchSet, shard: Shard, targets: Gradients, loss: QueryLoss
) -> Harm:
    labels = sketches.labels(shard)
    entries, scales = sketches.payload(shard, labels)
    starts = range(0, len(entries), _ROWS_AT_ONCE)
    rows = [slice(start, start + _ROWS_AT_ONCE) for start in starts]
    by_comparison = [
        targets.vectors @ store.decode(entries[some], scales[some].numpy()).T
        for some in rows
    ]
    aligned = torch.cat(by_comparison, dim=1).double()[:, labels.rows]
    slopes = _counted(labels, labels.query_derivatives(loss))
    products = aligned * slopes
    norms = slopes.abs() * torch.nan_to_num(labels.sq_norms.sum(1)).sqrt()
    lengths = targets.norms[:, None] * norms
    cosines = products / torch.where(lengths > 0, lengths, 1.0)
    return Harm(-products, cosines.clamp(-1, 1))


def _counted(labels: Labels, values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return torch.where(labels.counted, values, 0.0)
