"""Labels of one shard as tensors: signs, margins, norms, and the loss's derivatives.

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

    def curvature_weights(self, kind: Curvature) -> Float[Tensor, " n"]:
        """What s s' of each label is weighted with in H: h or, for empirical_fisher,
        w^2."""
        if kind == "gauss_newton":
            return self.hessian_weights
        return self.weights.square()

    def leverage(self, kind: Curvature) -> Float[Tensor, " n"]:
        """c |s|^2 of each label's comparison, c being the sum of curvature_weights of
        its labels: n times the eigenvalue of this comparison's rank-one term of H,
        c s s' / n."""
        terms = self.by_comparison(self.multiplicity * self.curvature_weights(kind))
        return terms[self.rows] * self.sq_norms.sum(1)

    def _masked(self, function: curvature.OfLabels, signs: Tensor) -> Tensor:
        values = function(self.margins, signs, self.required)
        return torch.where(self.usable, values, 0.0)

    def by_comparison(self, terms: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
        """Sum of the labels' terms, for each comparison of the shard."""
        return influence.by_comparison(terms, self.rows, self.num_comparisons)
