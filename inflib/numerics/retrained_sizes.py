"""Predicted and actual effects of some retrainings to the size of other predictions.

    n  trainings, those without edits among them

How far predictions are off in size is common to edits of one run: of all of them, an
actual effect is about slope * predicted. The slope and the scatter are measured on
retrainings, and say what to expect of edits that nobody retrained.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t

_LEAST = 3
"""Different edits without which no scatter is known."""

_MOST = 0.999
"""Share of the line's leverage from which a single edit decides the slope."""


@dataclass(frozen=True)
class RetrainedSize:
    """actual = slope * predicted + an error of each training."""

    slope: float
    low: float
    """Lower end of the slope's 95% interval."""

    high: float
    scatter: float
    """Standard deviation of a training's loss around the line, from training's
    randomness and from what first order leaves out."""

    edits: int
    """Different edits that were retrained."""

    freedom: int
    """Degrees of freedom of the scatter."""

    def expected(self, predicted: float) -> tuple[float, float, float]:
        """(mean, low, high) of the change that one retraining with edits brings, from
        one without: a 95% interval with the randomness of both."""
        of_slope = (self.high - self.low) / 2 * predicted
        of_trainings = float(t.ppf(0.975, self.freedom)) * 2**0.5 * self.scatter
        half = float(np.hypot(of_slope, of_trainings))
        mean = self.slope * predicted
        return mean, mean - half, mean + half


def size_of(
    predicted: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    seeds: Int[np.ndarray, " n"],
    edits: Int[np.ndarray, " n"],
) -> RetrainedSize | None:
    """The size of predictions; None with fewer than 3 different edits, and where no
    prediction differs from 0 or those of a single edit outweigh all others.

    predicted: change of a query set's loss by each training's edits, 0 without edits;
    losses: after training; seeds, edits: numbers that stand for each training's seed
    and edits, -1 for none. Least squares, with a level of its own for every seed. The
    slope's error is clustered by edits, for a prediction errs alike in all trainings
    with these edits (CR2: Bell & McCaffrey, Surv. Methodol. 28, 2002); few edits may
    have nearly all of the leverage, so its freedom is that of the effective number of
    clusters (Carter, Schnepel & Steigerwald, Rev. Econ. Stat. 99, 2017).
    """
    distinct = len(np.unique(edits[edits >= 0]))
    x, y = (_about_seeds(values, seeds) for values in (predicted, losses))
    free = len(x) - len(np.unique(seeds)) - 1
    if distinct < _LEAST or free < 1 or not (x**2).sum():
        return None
    slope = float(x @ y / (x @ x))
    rest = y - slope * x
    # trainings without edits have no prediction that could err: each is a cluster
    clusters = np.where(edits >= 0, edits, edits.max() + 1 + np.arange(len(edits)))
    _, clusters = np.unique(clusters, return_inverse=True)
    leverage = np.bincount(clusters, x**2) / (x @ x)
    if leverage.max() > _MOST:
        return None
    sums = np.bincount(clusters, x * rest)
    error = float(np.sqrt((sums**2 / (1 - leverage)).sum()) / (x @ x))
    effective = float(1 / (leverage**2).sum())
    half = float(t.ppf(0.975, min(free, max(1.0, effective - 1)))) * error
    scatter = float(np.sqrt(rest @ rest / free))
    return RetrainedSize(slope, slope - half, slope + half, scatter, distinct, free)


@dataclass(frozen=True)
class LeftOut:
    """How well retrainings are foretold by those with other edits."""

    trainings: int
    """Trainings with edits, each foretold without all those with the same edits."""

    inside: int
    """Of these, whose change of the loss is in its 95% interval."""

    clear: int
    """Of these, whose interval has 0 outside."""

    sign: int
    """Of the clear ones, whose change has the sign that was foretold."""


def left_out(
    predicted: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    seeds: Int[np.ndarray, " n"],
    edits: Int[np.ndarray, " n"],
) -> LeftOut | None:
    """`RetrainedSize.expected` of each training with edits, by the size that all
    trainings but those with the same edits give; None where no size is known.

    Arguments: those of `size_of`; a training without edits for each seed.
    """
    before = {
        seed: loss
        for seed, loss, edit in zip(seeds, losses, edits, strict=True)
        if edit < 0
    }
    found: list[tuple[bool, bool, bool]] = []
    for edit in np.unique(edits[edits >= 0]):
        own = edits == edit
        size = size_of(*(x[~own] for x in (predicted, losses, seeds, edits)))
        for i in np.flatnonzero(own) if size else ():
            assert size is not None
            mean, low, high = size.expected(float(predicted[i]))
            change = losses[i] - before[seeds[i]]
            clear = low > 0 or high < 0
            found.append((low <= change <= high, clear, clear and mean * change > 0))
    if not found:
        return None
    return LeftOut(
        len(found), *(int(sum(column)) for column in zip(*found, strict=True))
    )


def _about_seeds(values: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Values less the mean of those of the same seed."""
    _, seed = np.unique(seeds, return_inverse=True)
    return values - (np.bincount(seed, values) / np.bincount(seed))[seed]
