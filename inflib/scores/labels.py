"""Labels of a shard beside what the store knows of their comparisons.

n  labels     c  comparisons     l  layers
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.config.score import Kind, QueryLoss
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.numerics import curvature, influence
from inflib.sketches import store
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Labels:
    """The labels of one shard and the rows of their comparisons."""

    table: pa.Table
    signs: Float[Tensor, " n"]
    rows: Int[Tensor, " n"]
    margins: Float[Tensor, " n"]
    """r(a) - r(b) of each label's comparison, float64; NaN where not finite."""

    sq_norms: Float[Tensor, "n l"]
    """|s|^2 of each label's comparison, by layer; NaN where not finite."""

    required: Float[Tensor, " n"]
    """Margin that the loss requires of each label."""

    status: np.ndarray
    """Of each label's comparison, see `store`."""

    num_comparisons: int

    multiplicity: Float[Tensor, " n"]
    """How often each label counts; 1 unless an edit says otherwise."""

    @property
    def usable(self) -> Tensor:
        """Whether a label has a score: its margin and gradient are finite."""
        return self.margins.isfinite()

    @property
    def counted(self) -> Tensor:
        """Whether a label counts in n and in means: a zero gradient scores 0, but
        says nothing."""
        return torch.from_numpy(self.status == store.OK)

    @property
    def weights(self) -> Float[Tensor, " n"]:
        """Loss weights; 0 for a comparison that is not finite."""
        return self._masked(curvature.loss_weights, self.signs)

    def query_weights(self, loss: QueryLoss) -> Float[Tensor, " n"]:
        """Derivative of a query loss in the margin; 0 where that is not finite."""
        if loss == "bradley_terry":
            return self.weights
        return torch.where(self.usable, -self.signs, 0.0)

    @property
    def flipped_weights(self) -> Float[Tensor, " n"]:
        """Loss weights had the labeler preferred the other response."""
        return self._masked(curvature.loss_weights, -self.signs)

    @property
    def hessian_weights(self) -> Float[Tensor, " n"]:
        """Loss Hessian in the margin; 0 for a comparison that is not finite."""
        return self._masked(curvature.hessian_weights, self.signs)

    def curvature_weights(self, kind: Kind) -> Float[Tensor, " n"]:
        """What s s' of each label is weighted with in H: h or, for empirical_fisher,
        w^2."""
        if kind == "gauss_newton":
            return self.hessian_weights
        return self.weights.square()

    def leverage(self, kind: Kind) -> Float[Tensor, " n"]:
        """c |s|^2 of each label's comparison, c being the sum of curvature_weights of
        its labels: n times what its own share of H does to s."""
        terms = self.by_comparison(self.multiplicity * self.curvature_weights(kind))
        return terms[self.rows] * self.sq_norms.sum(1)

    def _masked(self, function: curvature.OfLabels, signs: Tensor) -> Tensor:
        found = function(self.margins, signs, self.required)
        return torch.where(self.usable, found, 0.0)

    def by_comparison(self, terms: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
        """Sum of the labels' terms, for each comparison of the shard."""
        return influence.by_comparison(terms, self.rows, self.num_comparisons)


def read_labels(
    run: Folder, pairs: str, shard: Shard, edits: Edits | None = None
) -> Labels:
    """Labels of one shard with margins and norms from its commit record."""
    table = PairsFolder(run / "pairs" / pairs).labels(shard)
    signs = torch.from_numpy(table["sign"].to_numpy().astype(np.float64))
    multiplicity = torch.ones_like(signs)
    for i, pair_id in enumerate(table["pair_id"].to_pylist() if edits else ()):
        if edits and pair_id in edits:
            signs[i] *= edits[pair_id].sign
            multiplicity[i] = edits[pair_id].weight
    sketches = run / "sketches" / pairs
    record = store.read_record(sketches, shard.name)
    store.check_plan(sketches, shard, record)
    found = store.read_rows(record)
    rows = torch.from_numpy(table["row"].to_numpy().astype(np.int64))
    return Labels(
        table,
        signs,
        rows,
        torch.from_numpy(found.margin)[rows],
        torch.from_numpy(found.sq_norms)[rows],
        torch.from_numpy(table["required_margin"].to_numpy().copy()),
        np.array(found.status)[rows.numpy()],
        len(found.margin),
        multiplicity,
    )


def margins(run: Folder, pairs: str) -> np.ndarray:
    """r(chosen) - r(rejected) of the labels that count."""
    found = []
    for shard in PairsFolder(run / "pairs" / pairs).plan():
        labels = read_labels(run, pairs, shard)
        found.append((labels.signs * labels.margins)[labels.counted].numpy())
    return np.concatenate(found)


def accuracy(margins: np.ndarray) -> float:
    """Share of labels whose chosen response the reward model prefers; ties 1/2."""
    return float((np.sign(margins) + 1).mean() / 2) if len(margins) else 0.0
