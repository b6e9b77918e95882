"""Influence and traits of labels to harm of each group of labels, and its preferences.

    n  labels     g  query groups     l  groups of labels (labelers, sources, ...)

Harm of a group is the mean influence of its labels minus that of all other labels. Its
standard error has two sources: the labels are a sample of what the labeler would
decide, and the query set is a sample too (jackknife over its query groups); noise that
is in both variances is subtracted once, as in Cameron, Gelbach & Miller, J. Bus. Econ.
Stat. 29, 2011. Small groups are shrunk towards no difference, and the spread of their
few labels towards that of all groups (numerics.random_effects). Groups with fewer than
min_labels labels are neither tested nor listed: their means are of single labels.

A labeler can be biased without visible harm (the model did not learn it), or harm
without a visible preference. A group is suspicious when any of its tests says so:
Bonferroni over a group's tests, then Benjamini & Hochberg over the groups.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import norm, t

from inflib.numerics.random_effects import Posterior, moderated_variances, posterior
from inflib.numerics.uncertainty import discover, query_freedom, query_variance

AGREEMENT = ("model", "others")
"""Traits of which only too little is suspicious."""


class Estimate(NamedTuple):
    """Difference of each group's mean from that of all other labels; arrays [l]."""

    difference: np.ndarray
    error: np.ndarray
    """Standard error of the difference."""

    freedom: np.ndarray
    """Degrees of freedom of the error (Welch-Satterthwaite)."""

    spread: float
    """Standard deviation of the labels within groups."""


def mean_differences(
    groups: np.ndarray, num_groups: int, influences: np.ndarray, shares: np.ndarray
) -> Estimate:
    """Difference in mean influence between each group and all other labels, with its
    standard error.

    groups: [n] number of each label's group; influences: [n g] of each label, as shares
    of the query groups; shares: [g] share of the query labels in each query group.
    """
    counts = np.bincount(groups, minlength=num_groups).astype(float)
    other_counts = len(groups) - counts
    sums = np.stack(
        [np.bincount(groups, column, num_groups) for column in influences.T], axis=1
    )
    differences = sums / counts[:, None] - (sums.sum(0) - sums) / other_counts[:, None]
    from_queries = query_variance(
        torch.from_numpy(differences), torch.from_numpy(shares)
    )
    squares = np.bincount(groups, influences.sum(1) ** 2, num_groups)
    own = _variance(squares, sums.sum(1), counts)
    within, freedom_within = moderated_variances(own, counts - 1)
    within_others = _variance(
        squares.sum() - squares, sums.sum() - sums.sum(1), other_counts
    )
    variances = (within / counts, within_others / other_counts, from_queries.numpy())
    freedom_queries = np.full(num_groups, query_freedom(torch.from_numpy(shares)))
    freedoms = (freedom_within, other_counts - 1, freedom_queries)
    pooled = (own * (counts - 1)).sum() / max(1.0, (counts - 1).sum())
    # Noise of labels that differs from query group to query group is in both sources.
    label_noise = query_variance(
        torch.from_numpy(influences), torch.from_numpy(shares)
    ).numpy()
    noise = np.bincount(groups, label_noise, num_groups)
    twice = noise / counts**2 + (noise.sum() - noise) / other_counts**2
    least = np.maximum(sum(variances[:2]), variances[2])
    total = np.maximum(sum(variances) - twice, least)
    denominator = sum(
        v**2 / np.maximum(f, 1) for v, f in zip(variances, freedoms, strict=True)
    )
    known = denominator > 0
    freedom = np.where(known, total**2 / np.where(known, denominator, 1), 1)
    return Estimate(differences.sum(1), np.sqrt(total), freedom, float(pooled**0.5))


def _variance(squares: Any, sums: Any, counts: Any) -> np.ndarray:
    """Sample variances of sets of numbers, by their sums of squares, sums and sizes."""
    spread = squares - sums**2 / np.maximum(counts, 1)
    return np.maximum(spread, 0) / np.maximum(counts - 1, 1)


def shrink(estimate: Estimate, counts: np.ndarray) -> Posterior:
    """Posterior of the differences; counts: [l] labels of each group.

    A difference holds the effect of its group, and those of all others, each by its
    share of the other labels.
    """
    others = counts.sum() - counts
    squares = (counts.astype(float) ** 2).sum() - counts.astype(float) ** 2
    factor = 1 + squares / others.astype(float) ** 2
    return posterior(
        estimate.difference, estimate.error, estimate.freedom, factor, estimate.spread
    )


def harm(
    names: list[str],
    influences: np.ndarray,
    shares: np.ndarray,
    level: float,
    min_labels: int,
) -> list[dict[str, Any]]:
    """One row for each group with min_labels labels or more, the one that is surest to
    be harmful first: by `low`. None for a single group.

    names: group of each label; influences, shares: as in `mean_differences`. In a row:
    harm, error: difference and its standard error; shrunk, low, high: posterior mean
    and its 95% credible interval; p_value: one-sided, of no harm; harmful: discovered
    at FDR `level`; harmful_share: share of labels with positive influence.
    """
    group_names, groups = np.unique(np.array(names), return_inverse=True)
    if len(group_names) < 2:
        return []
    estimate = mean_differences(groups, len(group_names), influences, shares)
    counts = np.bincount(groups)
    shrunk = shrink(estimate, counts)
    error = np.where(estimate.error > 0, estimate.error, 1)
    p_values = np.where(
        estimate.error > 0, t.sf(estimate.difference / error, estimate.freedom), 0.5
    )
    listed = np.flatnonzero(counts >= min_labels)
    flagged = np.zeros(len(counts), dtype=bool)
    flagged[listed] = discover(p_values[listed], level)
    totals = influences.sum(1)
    positive = np.bincount(groups, totals > 0) / counts
    means = np.bincount(groups, totals) / counts
    rows = [
        {
            "name": str(group_names[i]),
            "labels": int(counts[i]),
            "harmful_share": float(positive[i]),
            "mean_influence": float(means[i]),
            "harm": float(estimate.difference[i]),
            "error": float(estimate.error[i]),
            "shrunk": float(shrunk.mean[i]),
            "low": float(shrunk.low[i]),
            "high": float(shrunk.high[i]),
            "p_value": float(p_values[i]),
            "harmful": bool(flagged[i]),
        }
        for i in listed
    ]
    return sorted(rows, key=lambda row: -row["low"])


def preferences(
    names: list[str],
    traits: dict[str, np.ndarray],
    trusted: np.ndarray,
    level: float,
    min_labels: int,
) -> dict[str, dict[str, dict[str, Any]]]:
    """{group: {trait: {share, others, p_value, unusual}}}: how often the labels of each
    group with min_labels or more have a trait, against the trusted ones among all other
    labels.

    names: group of each label; traits: {trait: [n] 1, 0 or NaN (does not apply)};
    trusted: [n] whether a label is among those that the others are compared with.
    p_value: two-sided test of two proportions; unusual: discovered at FDR `level` over
    the groups, and not just much agreement.
    """
    group_names, groups = np.unique(np.array(names), return_inverse=True)
    num_groups = len(group_names)
    listed = np.flatnonzero(np.bincount(groups) >= min_labels)
    tests: dict[str, dict[str, Any]] = {str(group_names[i]): {} for i in listed}
    for trait, values in traits.items():
        applies = np.isfinite(values)
        counts, hits = _tally(groups, values, applies, num_groups)
        trusted_counts, trusted_hits = _tally(
            groups, values, applies & trusted, num_groups
        )
        other_counts = trusted_counts.sum() - trusted_counts
        other_hits = trusted_hits.sum() - trusted_hits
        known = (counts > 0) & (other_counts > 0)
        unknown = np.full(num_groups, np.nan)
        share = np.divide(hits, counts, where=known, out=unknown.copy())
        others = np.divide(other_hits, other_counts, where=known, out=unknown.copy())
        pooled = (hits + other_hits) / np.maximum(counts + other_counts, 1)
        error = np.sqrt(
            pooled
            * (1 - pooled)
            * (1 / np.maximum(counts, 1) + 1 / np.maximum(other_counts, 1))
        )
        difference = np.where(known & (error > 0), share - others, 0)
        p_values = 2 * norm.sf(np.abs(difference) / np.where(error > 0, error, 1))
        flagged = np.zeros(num_groups, dtype=bool)
        flagged[listed] = discover(p_values[listed], level)
        if trait in AGREEMENT:
            flagged &= difference < 0
        for i in listed:
            tests[str(group_names[i])][trait] = {
                "share": float(share[i]) if known[i] else None,
                "others": float(others[i]) if known[i] else None,
                "p_value": float(p_values[i]),
                "unusual": bool(flagged[i]),
            }
    return tests


def _tally(
    groups: np.ndarray, values: np.ndarray, included: np.ndarray, num_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """(labels, labels with the trait) [l] of each group, among the included labels."""
    counts = np.bincount(groups[included], minlength=num_groups).astype(float)
    return counts, np.bincount(groups[included], values[included], num_groups)


def suspect(
    rows: list[dict[str, Any]], tests: dict[str, dict[str, Any]], level: float
) -> list[dict[str, Any]]:
    """The rows of `harm`, each with what all tests of its group say together.

    tests: `preferences` of the same groups. any_p_value: smallest of the p-values of
    harm and of the traits that apply, times their number; because: the test it is of;
    suspicious: discovered at FDR `level`.
    """
    smallest = []
    for row in rows:
        p_values = {"harm": row["p_value"]}
        for trait, test in tests[row["name"]].items():
            if test["share"] is not None:
                harmless = trait in AGREEMENT and test["share"] >= test["others"]
                p_values[trait] = 1.0 if harmless else test["p_value"]
        because = min(p_values, key=lambda name: p_values[name])
        smallest.append((min(1.0, p_values[because] * len(p_values)), because))
    flagged = discover(np.array([p for p, _ in smallest]), level) if rows else ()
    return [
        row | {"any_p_value": p, "because": because, "suspicious": bool(flag)}
        for row, (p, because), flag in zip(rows, smallest, flagged, strict=True)
    ]
