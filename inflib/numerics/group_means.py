"""Influence of labels to the mean of each group of labels, against all other labels.

    n  labels     g  query groups     l  groups of labels (labelers, sources, ...)

Harm of a group is the mean influence of its labels minus that of all other labels, as
they would be if every labeler had labelled for ever and the query set had no end. An
estimate of it is a sum over groups, of their means with some weights; its variance has
two sources. The labels are a sample of what the labeler would decide (jackknife over
the group's prompts, small groups moderated), and the query set is a sample (jackknife
over its query groups); noise that is in both is subtracted once, as in Cameron, Gelbach
& Miller, J. Bus. Econ. Stat. 29, 2011.

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
from scipy.stats import t

from inflib.numerics.between_groups import Spread, spread_of
from inflib.numerics.group_variances import moderated_variances
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

    label: np.ndarray
    """Variance of the mean influence over draws of the group's prompts."""

    freedom: np.ndarray
    """Degrees of freedom of that variance."""

    noise: np.ndarray
    """Part of that variance that differs from query group to query group."""

    shares: np.ndarray
    """[g] share of the query labels in each query group."""

    @staticmethod
    def of(
        groups: np.ndarray,
        influences: np.ndarray,
        shares: np.ndarray,
        prompts: np.ndarray | None = None,
    ) -> "Groups":
        """groups: [n] number of each label's group, 0 to l - 1, none of them empty;
        influences: [n g] of each label, as shares of the query groups; shares: [g]
        share of the query labels in each query group; prompts: [n] number of each
        label's prompt, None where no two labels share one.

        Labels that a group has on one prompt are taken as one observation, since they
        may all say the same.
        """
        if prompts is None:
            prompts = np.arange(len(groups))
        keys = groups.astype(np.int64) * (int(prompts.max()) + 1) + prompts
        _, first, cell = np.unique(keys, return_index=True, return_inverse=True)
        owner, sizes = groups[first], np.bincount(cell).astype(float)
        sums = np.stack([np.bincount(cell, x) for x in influences.T], axis=1)
        counts = np.bincount(owner, sizes)
        of_owner = np.stack([np.bincount(owner, x) for x in sums.T], axis=1)
        parts = of_owner / counts[:, None]
        effective = counts**2 / np.bincount(owner, sizes**2)  # Kish's, of observations
        variance = _jackknife(sums.sum(1), sizes, owner, parts.sum(1), counts)
        within = moderated_variances(
            variance * effective,
            np.maximum(effective - 1, 0) * (np.bincount(owner) > 1),
            float((sums.sum(1) / sizes).var(ddof=min(1, len(sizes) - 1))),
        )
        noise = np.bincount(owner, _query_variance(sums, shares)) / counts**2
        label = within.variance / effective
        return Groups(counts, parts, label, within.freedom, noise, shares)

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
        from_labels = self._over_groups(self.label, own, pooled)
        twice = self._over_groups(self.noise, own, pooled)
        from_queries = _query_variance(combined, self.shares)
        least = np.maximum(from_labels, from_queries)
        variance = np.maximum(from_labels + from_queries - twice, least)
        of_own = (own + (1 - own) * pooled) ** 2 * self.label
        freedoms = (
            (of_own, self.freedom),
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
        twice = self._over_groups(self.noise, whole, none)
        added = np.maximum(_query_variance(difference, self.shares) - twice, 0)
        variances = self.label + added
        return np.maximum(variances, 1e-12 * max(variances.max(), 1e-280))


def _jackknife(
    sums: np.ndarray,
    sizes: np.ndarray,
    owner: np.ndarray,
    means: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """[l] variance of each group's mean, by leaving out one observation at a time; 0
    for a group with a single one.

    sums, sizes, owner: sum over the labels of each observation, their number, and its
    group; means, counts: of the groups' labels.
    """
    left = counts[owner] - sizes
    changes = (sums - sizes * means[owner]) / np.where(left > 0, left, np.inf)
    number = np.bincount(owner)
    return np.bincount(owner, changes**2) * (number - 1) / number


def _query_variance(influences: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return query_variance(
        torch.from_numpy(influences), torch.from_numpy(shares)
    ).numpy()


def one_sided(estimate: Estimate) -> np.ndarray:
    """[l] one-sided p-values of no harm; 0.5 where there is no error."""
    known = estimate.variance > 0
    errors = np.sqrt(np.where(known, estimate.variance, 1))
    return np.where(known, t.sf(estimate.harm / errors, estimate.freedom), 0.5)


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
