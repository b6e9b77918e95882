"""Values of labels to the variance within each group, small groups moderated.

    n  labels     l  groups of labels

A group of one label shows no variance, one of three shows it badly. Each group's sample
variance is therefore averaged with that of all groups, which counts as many degrees of
freedom as the sample variances of the groups agree: empirical Bayes, Smyth, Stat. Appl.
Genet. Mol. Biol. 3(1), 2004, section 6.2. Departures: groups are weighted by how well
their variance is known, since their sizes differ widely, and the prior's location is
the pooled variance, which does not fall below the truth when tails are heavy.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

_LEAST, _MOST = 1e-2, 1e6
"""Degrees of freedom that the prior may count as."""


class Variances(NamedTuple):
    """Variance of a label's value within each group."""

    variance: Float[np.ndarray, " l"]
    freedom: Float[np.ndarray, " l"]
    """Degrees of freedom of each estimate."""


def moderated_variances(
    counts: Float[np.ndarray, " l"],
    sums: Float[np.ndarray, " l"],
    squares: Float[np.ndarray, " l"],
) -> Variances:
    """Variances by each group's number of values, sum and sum of squares.

    Where no group has two values, they are those of all values together.
    """
    freedom = counts - 1
    spread = np.maximum(squares - sums**2 / counts, 0)
    if not freedom.any():
        n = counts.sum()
        total = max(squares.sum() - sums.sum() ** 2 / n, 0.0) / max(n - 1, 1)
        return Variances(np.full(len(counts), total), np.full(len(counts), n - 1))
    pooled = spread.sum() / freedom.sum()
    if pooled == 0:
        return Variances(np.zeros(len(counts)), np.full(len(counts), freedom.sum()))
    known = freedom > 0
    prior = _prior_freedom(spread[known] / freedom[known] / pooled, freedom[known])
    together = np.minimum(prior + freedom, freedom.sum())
    return Variances((prior * pooled + spread) / (prior + freedom), together)


def _prior_freedom(ratios: np.ndarray, freedom: np.ndarray) -> float:
    """Degrees of freedom d0 of a prior from which sample variances with these ratios to
    a common one may come: trigamma(d0 / 2) is by how much their logarithms vary more
    than those of samples with one variance do."""
    logs = np.log(np.maximum(ratios, 1e-6)) - digamma(freedom / 2) + np.log(freedom / 2)
    expected = polygamma(1, freedom / 2)
    weights = 1 / expected**2
    mean = np.average(logs, weights=1 / expected)
    excess = float(np.average((logs - mean) ** 2 - expected, weights=weights))
    if excess <= polygamma(1, _MOST / 2):
        return _MOST
    if excess >= polygamma(1, _LEAST / 2):
        return _LEAST
    return float(brentq(lambda d: polygamma(1, d / 2) - excess, _LEAST, _MOST))
