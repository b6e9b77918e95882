"""Influence of labels to the mean of each group of labels, against all other labels.

    n  labels     g  query groups     l  groups of labels (labelers, sources, ...)

Harm of a group is the mean influence of its labels minus that of all other labels, as
they would be if every labeler had labelled for ever and the query set had no end. An
estimate of it is a sum over groups, of their means with some weights; its variance has
two sources. The labels are a sample of what the labeler would decide (variances within
groups, small groups moderated), and the query set is a sample (jackknife over its query
groups); noise that is in both is subtracted once, as in Cameron, Gelbach & Miller, J.
Bus. Econ. Stat. 29, 2011.

Shrunk means each group's mean is drawn towards that of an average group, the more so
the less its own labels say: best linear unbiased prediction, averaged over how much
groups may differ (numerics.between_groups). Morris, J. Am. Stat. Assoc. 78, 1983, on
such intervals: over the groups, 95% of them hold.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from inflib.numerics.between_groups import Spread, spread_of
from inflib.numerics.group_variances import Variances, moderated_variances
from inflib.numerics.uncertainty import query_freedom, query_variance


class Estimate(NamedTuple):
    """Harm of each group; arrays [l]."""

    harm: np.ndarray
    variance: np.ndarray
    """Squared standard error of the harm."""

    freedom: np.ndarray
    """Degrees of freedom of the error (Welch-Satterthwaite)."""


@dataclass(frozen=True)
class Groups:
    """What the labels of each group say; arrays [l] but where noted."""

    counts: np.ndarray
    """Labels."""

    parts: np.ndarray
    """[l g] mean influence, as shares of the query groups."""

    within: Variances
    """Variance of a label's influence within the group."""

    noise: np.ndarray
    """Mean over the labels of the variance of their influence over query sets."""

    shares: np.ndarray
    """[g] share of the query labels in each query group."""

    @staticmethod
    def of(groups: np.ndarray, influences: np.ndarray, shares: np.ndarray) -> "Groups":
        """groups: [n] number of each label's group, 0 to l - 1, none of them empty;
        influences: [n g] of each label, as shares of the query groups; shares: [g]
        share of the query labels in each query group."""
        counts = np.bincount(groups).astype(float)
        sums = np.stack([np.bincount(groups, x) for x in influences.T], axis=1)
        totals = influences.sum(1)
        # About the mean of all labels: squares of large numbers would not cancel.
        centred = totals - totals.mean()
        within = moderated_variances(
            counts, np.bincount(groups, centred), np.bincount(groups, centred**2)
        )
        noise = _query_variance(influences, shares)
        return Groups(
            counts,
            sums / counts[:, None],
            within,
            np.bincount(groups, noise) / counts,
            shares,
        )

    def estimate(
        self, own: Float[np.ndarray, " l"], pooled: Float[np.ndarray, " l"]
    ) -> Estimate:
        """Harm by own * (mean of the group) + (1 - own) * (mean of all groups) - (mean
        of all other labels); variance: over samples of labels and query sets.

        pooled: weight of each group in the mean of all groups; they add up to 1.
        """
        others = self.counts.sum() - self.counts
        label_sums = self.counts[:, None] * self.parts
        combined = (
            own[:, None] * self.parts
            + (1 - own)[:, None] * (pooled @ self.parts)
            - (label_sums.sum(0) - label_sums) / others[:, None]
        )
        label = self.within.variance / self.counts
        from_labels = self._over_groups(label, own, pooled)
        twice = self._over_groups(self.noise / self.counts, own, pooled)
        from_queries = _query_variance(combined, self.shares)
        least = np.maximum(from_labels, from_queries)
        variance = np.maximum(from_labels + from_queries - twice, least)
        of_own = (own + (1 - own) * pooled) ** 2 * label
        freedoms = (
            (of_own, self.within.freedom),
            (from_labels - of_own, np.maximum(others - len(others) + 1, 1)),
            (from_queries, np.maximum(query_freedom(self.shares), 1)),
        )
        inverse = sum(v**2 / f for v, f in freedoms)
        known = inverse > 0
        freedom = np.where(known, variance**2 / np.where(known, inverse, 1), 1)
        return Estimate(combined.sum(1), variance, freedom)

    def _over_groups(
        self, variances: np.ndarray, own: np.ndarray, pooled: np.ndarray
    ) -> np.ndarray:
        """[l] variance of each group's estimate when the groups' means are independent
        and have these variances: the sum of their squared weights times variances."""
        counts, others = self.counts, self.counts.sum() - self.counts
        rest = 1 - own
        squares = (
            (pooled**2 * variances, rest**2),
            (pooled * counts * variances, -2 * rest / others),
            (counts**2 * variances, 1 / others**2),
        )
        of_others = sum((x.sum() - x) * factor for x, factor in squares)
        return (own + rest * pooled) ** 2 * variances + of_others

    def own_variances(self) -> np.ndarray:
        """[l] variance of each group's own mean, beside what groups have in common:
        that over its labels, and what query sets add to its difference from all other
        labels, less the labels' own noise in it."""
        whole, none = np.ones(len(self.counts)), np.zeros(len(self.counts))
        others = self.counts.sum() - self.counts
        label_sums = self.counts[:, None] * self.parts
        difference = self.parts - (label_sums.sum(0) - label_sums) / others[:, None]
        twice = self._over_groups(self.noise / self.counts, whole, none)
        added = np.maximum(_query_variance(difference, self.shares) - twice, 0)
        variances = self.within.variance / self.counts + added
        return np.maximum(variances, 1e-12 * max(variances.max(), 1e-280))


def _query_variance(influences: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return query_variance(
        torch.from_numpy(influences), torch.from_numpy(shares)
    ).numpy()


def differences(groups: Groups) -> Estimate:
    """Difference of each group's mean influence from that of all other labels."""
    num_groups = len(groups.counts)
    return groups.estimate(np.ones(num_groups), np.zeros(num_groups))


def shrink(groups: Groups) -> tuple[Estimate, Spread]:
    """(posterior of each group's harm, of how much groups differ).

    The variance is that over samples and over what the group's true mean may be, given
    tau, and of the posterior means over tau (Kass & Steffey, J. Am. Stat. Assoc. 84,
    1989, equation 2.3).
    """
    variances = groups.own_variances()
    means = groups.parts.sum(1)
    spread = spread_of(means - means.mean(), variances)
    harms, totals, freedoms = [], [], []
    for tau in spread.taus:
        own = tau**2 / (tau**2 + variances)
        pooled = 1 / (tau**2 + variances)
        pooled /= pooled.sum()
        given = groups.estimate(own, pooled)
        unknown = (tau * (1 - own)) ** 2 * ((pooled**2).sum() + 1 - 2 * pooled)
        harms.append(given.harm)
        totals.append(given.variance + unknown)
        known = np.where(given.variance > 0, given.variance, 1)
        freedoms.append(given.freedom * (1 + unknown / known) ** 2)
    harm = spread.weights @ harms
    total = spread.weights @ totals + spread.weights @ (np.array(harms) - harm) ** 2
    return Estimate(
        harm, total, 1 / (spread.weights @ (1 / np.array(freedoms)))
    ), spread
