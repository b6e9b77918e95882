"""Labels of a shard and rows of its sketches to loss weights, as tensors.

n  labels     c  comparisons     l  layers
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.config.score import Curvature, QueryLoss
from inflib.numerics import curvature, influence
from inflib.sketches import store


@dataclass(frozen=True)
class Labels:
    """The labels of one shard, with what its sketches say of their comparisons."""

    table: pa.Table
    """The rows of the shard's labels file, see data.pairs_folder; without edits."""

    signs: Float[Tensor, " n"]
    """+1: response a of the comparison was chosen; -1: b; with edits."""

    rows: Int[Tensor, " n"]
    """Row of each label's comparison in the shard's payload."""

    margins: Float[Tensor, " n"]
    """r(a) - r(b) of each label's comparison, float64; NaN where not finite."""

    sq_norms: Float[Tensor, "n l"]
    """|s|^2 of each label's comparison, by layer; NaN where not finite."""

    required: Float[Tensor, " n"]
    """Margin that the loss requires of each label, 0 in plain Bradley-Terry."""

    status: np.ndarray
    """Status of each label's comparison: ok, zero_gradient or not_finite."""

    num_comparisons: int
    """Comparisons of the shard, whether they have labels or not."""

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
        """Loss weight w of each label; 0 for a comparison that is not finite."""
        return self._masked(curvature.loss_weights, self.signs)

    def query_weights(self, loss: QueryLoss) -> Float[Tensor, " n"]:
        """Derivative of each label's query loss in r(a) - r(b), the margin of its
        comparison; 0 where that is not finite."""
        if loss == "bradley_terry":
            return self.weights
        return torch.where(self.usable, -self.signs, 0.0)

    @property
    def flipped_weights(self) -> Float[Tensor, " n"]:
        """Loss weights if every label were flipped."""
        return self._masked(curvature.loss_weights, -self.signs)

    @property
    def hessian_weights(self) -> Float[Tensor, " n"]:
        """h of each label, the second derivative of its loss in the margin; 0 for a
        comparison that is not finite."""
        return self._masked(curvature.hessian_weights, self.signs)

    def curvature_weights(self, kind: Curvature) -> Float[Tensor, " n"]:
        """Weight of each label's term s s' in H: h for gauss_newton, w^2 for
        empirical_fisher."""
        if kind == "gauss_newton":
            return self.hessian_weights
        return self.weights.square()

    def leverage(self, kind: Curvature) -> Float[Tensor, " n"]:
        """c |s|^2 of each label's comparison, c being the sum of curvature_weights over
        the comparison's labels, each as often as it counts.

        It is n times the eigenvalue of c s s' / n, this comparison's term of H.
        """
        terms = self.by_comparison(self.multiplicity * self.curvature_weights(kind))
        return terms[self.rows] * self.sq_norms.sum(1)

    def _masked(self, function: curvature.WeightFunction, signs: Tensor) -> Tensor:
        values = function(self.margins, signs, self.required)
        return torch.where(self.usable, values, 0.0)

    def by_comparison(self, terms: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
        """Sum of `terms` over the labels of each comparison of the shard."""
        return influence.by_comparison(terms, self.rows, self.num_comparisons)
