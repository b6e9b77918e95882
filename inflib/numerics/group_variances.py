"""Sample variances within groups to moderated ones, for small groups.

    l  groups of labels

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
    """Variances within each group."""

    variance: Float[np.ndarray, " l"]
    freedom: Float[np.ndarray, " l"]
    """Degrees of freedom of each estimate."""


def moderated_variances(
    variances: Float[np.ndarray, " l"], freedom: Float[np.ndarray, " l"], whole: float
) -> Variances:
    """Moderated variances by each group's sample variance and its degrees of freedom, 0
    for a group that shows none; whole: variance without regard to groups, which stands
    in where no group shows any."""
    if not freedom.any():
        return Variances(np.full(len(freedom), whole), np.full(len(freedom), 1.0))
    pooled = (variances * freedom).sum() / freedom.sum()
    if pooled == 0:
        return Variances(np.zeros(len(freedom)), np.full(len(freedom), freedom.sum()))
    known = freedom > 0
    prior = _prior_freedom(variances[known] / pooled, freedom[known])
    together = np.minimum(prior + freedom, freedom.sum())
    moderated = (prior * pooled + freedom * variances) / (prior + freedom)
    return Variances(moderated, together)


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
