"""Scores of a sweep of dampings to the damping that each query set is scored with.

    n  labels     l  dampings     g  query groups

It is chosen without knowing which labels are wrong: for each query set, the smallest
damping of the sweep whose scores are reliable, that is, whose ranks of training labels
by one half of the query set and by the other half have a Spearman correlation of at
least `score.reliability`. Less damping corrects more for what the model has learned of
the data, and lets the query set's noise through.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

_FACTOR = 6.0

_HALVINGS = 10
"""Random halves of the query groups that a reliability is the mean over."""


@dataclass(frozen=True)
class Candidate:
    """One damping of the sweep."""

    damping: float
    """Relative to the trace of H."""

    reliability: float
    """Rank correlation of the scores by halves of the query set."""

    residual: float
    """Residual of conjugate gradients at this damping, relative to the query vector."""


@dataclass(frozen=True)
class Choice:
    """The damping of one query set, and the sweep that it was chosen from."""

    damping: float
    reliability: float
    reliable: bool
    """Whether the reliability reaches `score.reliability`."""

    sweep: list[Candidate]
    """All dampings, ascending."""


def of_training(learning_rate_sum: float) -> float:
    """lambda of the sketches of a model that Adam trained, in Adam's metric.

    Along a direction without curvature, training moves the weights by the sum of its
    learning rates times the gradient, and (H + lambda I)^-1 by 1 / lambda times it: so
    training has lambda = 1 / sum (for ridge regression: Ali, Kolter & Tibshirani, "A
    continuous-time view of early stopping", AISTATS 2019, arXiv:1810.10082). The factor
    is what agrees with retraining in size on the demo (docs/validity.md): second
    moments are those of noisy batches, and the model learns more before halfway.
    """
    return _FACTOR / learning_rate_sum


def choose(
    scores: Float[Tensor, "n l g"],
    dampings: list[float],
    residuals: Float[Tensor, " l"],
    threshold: float,
    asked: float | None = None,
) -> tuple[int, Choice]:
    """(index in `dampings`, choice) of the damping `asked` for, or of the smallest with
    reliable scores.

    Where none reaches the threshold it is the largest damping: nothing says that a
    correction can be afforded. scores: influence of a sample of labels on one query
    set, as shares of its query groups; dampings: ascending; residuals: of conjugate
    gradients.
    """
    reliabilities = [reliability(scores[:, i].numpy()) for i in range(len(dampings))]
    reliable = [i for i, rho in enumerate(reliabilities) if rho >= threshold]
    best = reliable[0] if reliable else len(dampings) - 1
    if asked is not None:
        best = dampings.index(asked)
    sweep = [
        Candidate(damping, rho, float(residual))
        for damping, rho, residual in zip(
            dampings, reliabilities, residuals, strict=True
        )
    ]
    return best, Choice(dampings[best], reliabilities[best], best in reliable, sweep)


def reliability(scores: Float[np.ndarray, "n g"]) -> float:
    """Spearman correlation of the labels' scores by two random halves of the query set.

    scores: influence of labels, as shares of the query groups. The mean over seeded
    halvings; 0 when fewer than two query groups have a score other than 0, when there
    are fewer than two labels, or when a half gives all labels the same score.
    """
    from scipy.stats import rankdata

    filled = scores[:, np.abs(scores).sum(0) > 0]
    if filled.shape[1] < 2 or len(filled) < 2:
        return 0.0
    rng = np.random.default_rng(0)
    correlations = []
    for _ in range(_HALVINGS):
        drawn = rng.permutation(filled.shape[1])[: filled.shape[1] // 2]
        half = filled[:, drawn].sum(1)
        ranks = np.stack([rankdata(half), rankdata(filled.sum(1) - half)])
        if (np.ptp(ranks, axis=1) == 0).any():
            return 0.0
        correlations.append(np.corrcoef(ranks)[0, 1])
    return float(np.mean(correlations))
