"""Labels of a shard and rows of its sketches to derivatives of losses, as tensors.

n  labels     c  comparisons     l  layers
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inflib.config.score import Curvature, QueryLoss
from inflib.numerics import influence, preference_loss
from inflib.numerics.label_means import LabelMargins
from inflib.scores.shard_facts import ShardFacts
from inflib.sketches import store


@dataclass(frozen=True)
class Labels:
    """The labels of one shard, with what its sketches say of their comparisons."""

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

    targets: Float[Tensor, " n"]
    """Probability that the chosen response is the better one: p of
    numerics.preference_loss."""

    importance: Float[Tensor, " n"]
    """How often each label counts: its weight w, with edits."""

    facts: ShardFacts
    """What the shard's files say, without edits."""

    @property
    def usable(self) -> Tensor:
        """Whether a label has a score: its margin and gradient are finite."""
        return self.margins.isfinite()

    @property
    def counted(self) -> Tensor:
        """Whether a label counts in n and in means, by its weight: a zero gradient
        scores 0, but says nothing."""
        return torch.from_numpy(self.status == store.OK)

    @property
    def chosen_margins(self) -> LabelMargins:
        """r(chosen) - r(rejected) of the labels, with targets and weights; NaN where
        not finite."""
        margins = self.signs * self.margins
        return LabelMargins(margins, self.required, self.targets, self.importance)

    @property
    def losses(self) -> Float[Tensor, " n"]:
        """Loss of each label; NaN where not finite."""
        excess = self.signs * self.margins - self.required
        return self.importance * preference_loss.losses(excess, self.targets)

    @property
    def gradient_norms(self) -> Float[Tensor, " n"]:
        """Norm of each label's loss gradient; NaN where not finite."""
        return self.derivatives.abs() * self.sq_norms.sum(1).sqrt()

    @property
    def unit_derivatives(self) -> Float[Tensor, " n"]:
        """Derivative of each label's loss in r(a) - r(b), the margin of its comparison,
        if all weights were 1; 0 where that is not finite."""
        return self._derivatives(self.signs)

    @property
    def derivatives(self) -> Float[Tensor, " n"]:
        """Derivative of each label's loss in r(a) - r(b); 0 where not finite."""
        return self.importance * self.unit_derivatives

    @property
    def flipped_derivatives(self) -> Float[Tensor, " n"]:
        """The derivatives if every label were flipped: sign turned, target, weight and
        required margin as they are."""
        return self.importance * self._derivatives(-self.signs)

    def query_derivatives(self, loss: QueryLoss) -> Float[Tensor, " n"]:
        """Derivative of each label's query loss in r(a) - r(b); 0 where not finite.

        The margin loss of a label is -w (2p - 1) z m: minus w times the margin of the
        response that it prefers, and 0 for a tie (p = 0.5).
        """
        if loss == "bradley_terry":
            return self.derivatives
        slopes = self.importance * (2 * self.targets - 1) * -self.signs
        return torch.where(self.usable, slopes, 0.0)

    def curvature_weights(self, kind: Curvature) -> Float[Tensor, " n"]:
        """Weight of each label's term s s' in H: w h for gauss_newton, w d^2 for
        empirical_fisher, see numerics.curvature; 0 where not finite."""
        if kind == "gauss_newton":
            excess = self.signs * self.margins - self.required
            terms = preference_loss.second_derivatives(excess)
            return self.importance * torch.where(self.usable, terms, 0.0)
        return self.importance * self.unit_derivatives.square()

    def leverage(self, kind: Curvature) -> Float[Tensor, " n"]:
        """c |s|^2 of each label's comparison, c being the sum of curvature_weights over
        the comparison's labels.

        It is n times the eigenvalue of c s s' / n, this comparison's term of H.
        """
        terms = self.by_comparison(self.curvature_weights(kind))
        return terms[self.rows] * self.sq_norms.sum(1)

    def _derivatives(self, signs: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        excess = signs * self.margins - self.required
        slopes = preference_loss.derivatives(excess, self.targets) * signs
        return torch.where(self.usable, slopes, 0.0)

    def by_comparison(self, terms: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
        """Sum of `terms` over the labels of each comparison of the shard."""
        return influence.by_comparison(terms, self.rows, self.num_comparisons)
