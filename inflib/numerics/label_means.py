"""Margins of labels to mean loss, mean margin and accuracy of a reward model: the one
definition of each, for training, verifying and reporting.

    n  labels
"""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from inflib.numerics import preference_loss


@dataclass(frozen=True)
class LabelMargins:
    """Some labels with the reward model's margins; all float64.

    A mean counts labels, not batches. Those of loss and margin give each label its
    weight, as the query loss does. Without labels to count they are 0.
    """

    margins: Float[Tensor, " n"]
    """r(chosen) - r(rejected)."""

    required: Float[Tensor, " n"]
    """Margin that the loss requires."""

    targets: Float[Tensor, " n"]
    """Probability that the chosen response is the better one."""

    weights: Float[Tensor, " n"]
    """Factor of the label's loss; a label of weight 0 does not count."""

    @property
    def loss(self) -> float:
        """Weighted mean of the losses, in nats."""
        excess = self.margins - self.required
        return self._mean(preference_loss.losses(excess, self.targets))

    @property
    def margin(self) -> float:
        """Weighted mean of (2p - 1) margin, the margin of the response that the label
        prefers: minus the query loss `margin`, to which a tie adds 0."""
        return self._mean((2 * self.targets - 1) * self.margins)

    @property
    def accuracy(self) -> float:
        """Share of labels whose preferred response has the higher reward.

        Each label counts once, whatever its weight; a margin of 0 counts one half, and
        ties (target 0.5) are left out.
        """
        sides = (2 * self.targets - 1).sign()
        agrees = ((self.margins.sign() * sides) + 1) / 2
        picked = agrees[(sides != 0) & (self.weights > 0)]
        return float(picked.mean()) if len(picked) else 0.0

    @property
    def means(self) -> dict[str, float]:
        """{"loss", "accuracy", "margin", "best_scale", "refined_loss"}."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "margin": self.margin,
            "best_scale": self.best_scale,
            "refined_loss": self.refined_loss,
        }

    @cached_property
    def best_scale(self) -> float:
        """Factor in [0, 10] on all margins for which the loss, without required
        margins, is least: 1 / temperature.

        Above 1, the model is less sure than it is right, and whatever agrees with it
        helps; below 1, it is too sure, and influence says first of all what shrinks its
        margins.
        """
        found = minimize_scalar(self._scaled_loss, bounds=(0, 10), method="bounded")
        return float(found.x)

    @property
    def refined_loss(self) -> float:
        """The loss with all margins times `best_scale`: what is left of it when a wrong
        confidence is mended, how well labels are told apart (Berta et al., "Rethinking
        early stopping: refine, then calibrate", 2025, arXiv:2501.19195)."""
        return self._scaled_loss(self.best_scale)

    def _scaled_loss(self, scale: float) -> float:
        return self._mean(preference_loss.losses(scale * self.margins, self.targets))

    def _mean(self, values: Float[Tensor, " n"]) -> float:
        total = float(self.weights.sum())
        return float((self.weights * values).sum()) / total if total else 0.0
