"""Differences of groups with their errors to what they are likely to be: random effects
whose variance is estimated, with its own uncertainty.

    l  groups     h  values of the prior's deviation

Group j's true difference is normal with mean 0 and variance tau^2 c_j, and is observed
with error e_j. c_j is known: a difference from all other labels holds the effects of
all other groups, too. tau is not known; with few groups, or groups of which one is
large, hardly at all. So its posterior is taken on a grid, with a half-Cauchy prior
(Gelman, Bayesian Analysis 1, 2006, section 5), and means and intervals are averaged
over it. There is no plug-in estimate of tau, which would be 0 or far too large by
chance, and make intervals too narrow.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm, t

_POINTS = 120
"""Values of tau in the grid."""

_COVERED = 0.975
"""Upper quantile of a two-sided 95% interval."""


class Posterior(NamedTuple):
    """What the differences are likely to be; arrays [l]."""

    mean: np.ndarray
    low: np.ndarray
    """Lower end of the 95% credible interval."""

    high: np.ndarray
    deviation: float
    """Posterior mean of tau, the standard deviation between groups."""


def posterior(
    difference: np.ndarray,
    error: np.ndarray,
    freedom: np.ndarray,
    factor: np.ndarray,
    scale: float,
) -> Posterior:
    """Posterior of the true differences.

    error: standard errors, with `freedom` degrees of freedom each; factor: c_j; scale:
    of the half-Cauchy prior of tau, such as the deviation of single labels: groups
    differ by no more than their labels do. A group whose error is 0 stays as it is.
    """
    known = error > 0
    if not known.any() or scale <= 0:
        return Posterior(difference.copy(), difference.copy(), difference.copy(), 0.0)
    smallest = float(error[known].min())
    low = min(smallest, scale) / 100
    high = 10 * max(scale, float(np.abs(difference).max()))
    tau = np.concatenate([[0.0], np.geomspace(low, high, _POINTS)])
    widths = np.gradient(tau)
    variances = tau[:, None] ** 2 * factor[known] + error[known] ** 2  # [h l]
    logs = norm.logpdf(difference[known], 0, np.sqrt(variances)).sum(1)
    logs += np.log(widths) - np.log1p((tau / scale) ** 2)
    weights = np.exp(logs - logsumexp(logs))[:, None]
    shrinkage = 1 - error**2 / np.where(
        known, tau[:, None] ** 2 * factor + error**2, np.inf
    )
    means = shrinkage * difference
    mean = (weights * means).sum(0)
    within = (weights * shrinkage * error**2).sum(0)
    between = (weights * (means - mean) ** 2).sum(0)
    quantile = t.ppf(_COVERED, np.maximum(freedom, 1))
    half = quantile * np.sqrt(within + between)
    return Posterior(mean, mean - half, mean + half, float((weights[:, 0] * tau).sum()))


def moderated_variances(
    variances: np.ndarray, freedoms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(variances of the labels of each group, degrees of freedom): drawn towards what
    is common to all groups, the more so the fewer labels a group has.

    variances: sample variances, each with its degrees of freedom: 0 for a single
    label, which has no variance of its own. Smyth, Stat. Appl. Genet. Mol. Biol. 3,
    2004, equation (4); the common variance is pooled, and weighs as PRIOR_FREEDOM
    labels do.
    """
    total = freedoms.sum()
    pooled = float((variances * freedoms).sum() / total) if total > 0 else 0.0
    moderated = (variances * freedoms + pooled * PRIOR_FREEDOM) / (
        freedoms + PRIOR_FREEDOM
    )
    return moderated, freedoms + min(PRIOR_FREEDOM, float(total))


PRIOR_FREEDOM = 4.0
"""Degrees of freedom of the common variance. Few, since labelers do differ in how much
their labels spread."""
