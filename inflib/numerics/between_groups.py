"""Means of groups with their errors to how much the groups truly differ.

    l  groups     t  values of tau

Random effects: the true mean of a group is drawn from a normal distribution with mean
mu and standard deviation tau, and its estimate has a standard error. mu is estimated,
too: the likelihood of tau is the restricted one, integrated over mu (REML; Viechtbauer,
J. Educ. Behav. Stat. 30, 2005, equation 11). tau itself is uncertain where groups are
few or small, so results are averaged over its posterior with a flat prior on tau >= 0
(Gelman, Bayesian Analysis 1, 2006, section 7.1), not taken at one estimate: that
widens the intervals by what is not known of tau. With two groups the data say nothing
against a large tau, and nothing is shrunk.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_POINTS = 80
"""Values of tau beside 0, in geometric progression."""


_UNLIKELY = 1e-5
"""Posterior probability of a value of tau that is left out."""


class Spread(NamedTuple):
    """What is known of tau."""

    taus: Float[np.ndarray, " t"]
    """Values of tau, ascending."""

    weights: Float[np.ndarray, " t"]
    """Posterior probability of each; they add up to 1."""

    reml: float
    """The most likely tau (restricted maximum likelihood)."""

    def quantile(self, share: float) -> float:
        """Quantile of the posterior of tau."""
        return float(np.interp(share, np.cumsum(self.weights), self.taus))


def spread_of(
    means: Float[np.ndarray, " l"], variances: Float[np.ndarray, " l"]
) -> Spread:
    """How much groups differ, by the estimate of each one's mean and its variance.

    variances: squared standard errors, greater than 0.
    """
    smallest = 1e-2 * np.sqrt(variances.min())
    largest = 1e1 * max(float(np.ptp(means)), np.sqrt(variances.max()))
    taus = np.concatenate([[0.0], np.geomspace(smallest, largest, _POINTS)])
    logs = np.array([_log_likelihood(means, variances + tau**2) for tau in taus])
    widths = np.gradient(taus)
    widths[[0, -1]] /= 2  # half an interval at each end
    weights = np.exp(logs - logs.max()) * widths
    weights /= weights.sum()
    likely = weights > _UNLIKELY
    weights = weights[likely] / weights[likely].sum()
    return Spread(taus[likely], weights, float(taus[logs.argmax()]))


def _log_likelihood(means: np.ndarray, totals: np.ndarray) -> float:
    """Restricted log likelihood, but for a constant; totals: tau^2 plus variances."""
    precisions = 1 / totals
    mean = (precisions * means).sum() / precisions.sum()
    return -0.5 * float(
        np.log(totals).sum()
        + np.log(precisions.sum())
        + (precisions * (means - mean) ** 2).sum()
    )
