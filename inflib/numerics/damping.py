"""The damping that a query set's scores are computed with.

    k  entries of a sketch     q  query sets     g  query groups     l  dampings

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

_HALVINGS = 10
"""Random halves of the query groups that a reliability is the mean over."""


@dataclass(frozen=True)
class Tried:
    """One damping of the sweep."""

    damping: float
    reliability: float
    residual: float
    """Of its solution, relative to the query vector."""


@dataclass(frozen=True)
class Choice:
    """The damping of one query set, and why."""

    damping: float
    reliability: float
    reliable: bool
    """Whether its reliability reaches what was asked for."""

    sweep: list[Tried]


def choose(
    scores: Float[Tensor, "n l g"],
    dampings: list[float],
    residuals: Float[Tensor, " l"],
    threshold: float,
) -> tuple[int, Choice]:
    """(place of the damping in the sweep, the choice) of one query set.

    scores: of a sample of labels, what each group adds; dampings: ascending; residuals:
    of the solutions. Where no damping is reliable, the largest one is taken: nothing
    says that a correction can be afforded.
    """
    rhos = [reliability(scores[:, i].numpy()) for i in range(len(dampings))]
    good = [i for i, rho in enumerate(rhos) if rho >= threshold]
    best = good[0] if good else len(dampings) - 1
    sweep = [
        Tried(damping, rho, float(residual))
        for damping, rho, residual in zip(dampings, rhos, residuals, strict=True)
    ]
    return best, Choice(dampings[best], rhos[best], bool(good), sweep)


def reliability(scores: Float[np.ndarray, "n g"]) -> float:
    """Rank correlation of the labels' scores by two random halves of the query groups.

    scores: what each group adds. Mean over seeded halvings; 0 when fewer than two
    groups say anything, or all scores are equal.
    """
    from scipy.stats import rankdata

    filled = scores[:, np.abs(scores).sum(0) > 0]
    if filled.shape[1] < 2 or len(filled) < 2:
        return 0.0
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_HALVINGS):
        first = rng.permutation(filled.shape[1])[: filled.shape[1] // 2]
        half = filled[:, first].sum(1)
        ranks = np.stack([rankdata(half), rankdata(filled.sum(1) - half)])
        if (np.ptp(ranks, axis=1) == 0).any():
            return 0.0
        found.append(np.corrcoef(ranks)[0, 1])
    return float(np.mean(found))
