"""Harm by labeler, source or any kept column, and what each labeler prefers.

    n  labels     g  query groups     l  groups of labels (labelers)

Harm of a group is the mean influence of its labels minus that of all other labels. Its
standard error has two parts: the labels are a sample of what the labeler would decide,
and the query set is a sample too (jackknife over its groups); what both parts hold is
taken off once, as in Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29, 2011. Small
groups are shrunk towards no difference: empirical Bayes with a normal prior, whose
variance is the method of moments' (DerSimonian & Laird, Control. Clin. Trials 7, 1986).

A labeler can be biased without visible harm (the model did not learn it), or harm
without a visible preference. A group is suspicious when any of its tests says so:
Bonferroni over a group's tests, then Benjamini & Hochberg over the groups.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import norm, t

from inflib.numerics.uncertainty import discover, query_variance

_COVERED = 0.975
"""Upper end of a two-sided 95% interval."""

AGREEMENT = ("model", "others")
"""Traits of which only too little is suspicious."""


class Estimate(NamedTuple):
    """Differences between each group's mean and that of all other labels; arrays."""

    difference: np.ndarray
    error: np.ndarray
    freedom: np.ndarray
    """Degrees of freedom of the error (Welch-Satterthwaite)."""


def compare(
    group: np.ndarray, num_groups: int, parts: np.ndarray, shares: np.ndarray
) -> Estimate:
    """Of mean influence.

    group: number of each label's group; parts: [n g] what each query group adds to a
    label's influence; shares: [g] of the query labels.
    """
    scores = parts.sum(1)
    counts = np.bincount(group, minlength=num_groups).astype(float)
    rest = len(group) - counts
    sums = np.stack(
        [np.bincount(group, column, num_groups) for column in parts.T], axis=1
    )
    away = sums / counts[:, None] - (sums.sum(0) - sums) / rest[:, None]
    from_queries = query_variance(torch.from_numpy(away), torch.from_numpy(shares))
    squares = np.bincount(group, scores**2, num_groups)
    own = _variance(squares, sums.sum(1), counts)
    other = _variance(squares.sum() - squares, sums.sum() - sums.sum(1), rest)
    variances = (own / counts, other / rest, from_queries.numpy())
    filled = max(2, int((shares > 0).sum()))
    freedoms = (counts - 1, rest - 1, np.full(num_groups, filled - 1))
    # Noise of labels that differs from query group to query group is in both.
    each = query_variance(torch.from_numpy(parts), torch.from_numpy(shares)).numpy()
    twice = np.bincount(group, each, num_groups)
    twice = twice / counts**2 + (twice.sum() - twice) / rest**2
    least = np.maximum(sum(variances[:2]), variances[2])
    total = np.maximum(sum(variances) - twice, least)
    below = sum(
        v**2 / np.maximum(f, 1) for v, f in zip(variances, freedoms, strict=True)
    )
    freedom = np.where(below > 0, total**2 / np.where(below > 0, below, 1), 1)
    return Estimate(away.sum(1), np.sqrt(total), freedom)


def _variance(squares: Any, sums: Any, counts: Any) -> np.ndarray:
    spread = squares - sums**2 / np.maximum(counts, 1)
    return np.maximum(spread, 0) / np.maximum(counts - 1, 1)


def shrink(found: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """(posterior means, posterior standard deviations) of the differences.

    Prior mean 0: differences from all others.
    """
    known = found.error > 0
    weights = np.where(known, 1 / np.where(known, found.error, 1) ** 2, 0)
    spread = (weights * found.difference**2).sum() - known.sum()
    scale = weights.sum() - (weights**2).sum() / max(weights.sum(), 1e-300)
    prior = max(0.0, spread / scale) if scale > 0 else 0.0
    factor = prior / (prior + found.error**2 + 1e-300)
    return factor * found.difference, np.sqrt(factor) * found.error


def harm(
    names: list[str], parts: np.ndarray, shares: np.ndarray, level: float
) -> list[dict[str, Any]]:
    """One row per group, most harmful first.

    harm, error: as in the module's words; shrunk, low, high: posterior mean and 95%
    interval; p_value: one-sided, of no harm; harmful: discovered at FDR `level`.
    """
    known, group = np.unique(np.array(names), return_inverse=True)
    if len(known) < 2:
        return []
    found = compare(group, len(known), parts, shares)
    mean, deviation = shrink(found)
    error = np.where(found.error > 0, found.error, 1)
    p_values = np.where(
        found.error > 0, t.sf(found.difference / error, found.freedom), 0.5
    )
    flagged = discover(p_values, level)
    away = norm.ppf(_COVERED) * deviation
    counts = np.bincount(group)
    scores = parts.sum(1)
    positive = np.bincount(group, scores > 0) / counts
    means = np.bincount(group, scores) / counts
    rows = [
        {
            "name": str(known[i]),
            "labels": int(counts[i]),
            "harmful_share": float(positive[i]),
            "mean_influence": float(means[i]),
            "harm": float(found.difference[i]),
            "error": float(found.error[i]),
            "shrunk": float(mean[i]),
            "low": float(mean[i] - away[i]),
            "high": float(mean[i] + away[i]),
            "p_value": float(p_values[i]),
            "harmful": bool(flagged[i]),
        }
        for i in range(len(known))
    ]
    return sorted(rows, key=lambda row: -row["shrunk"])


def preferences(
    names: list[str], yes: dict[str, np.ndarray], trusted: np.ndarray, level: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """{group: {trait: {share, others, p_value, unusual}}}: how often each group's
    labels have a trait, against the trusted ones among all other labels.

    yes: for each trait 1, 0 or NaN (does not apply) per label. p_value: two-sided test
    of two proportions; unusual: discovered at FDR `level` over the groups, and not just
    much agreement.
    """
    known, group = np.unique(np.array(names), return_inverse=True)
    found: dict[str, dict[str, Any]] = {str(name): {} for name in known}
    for trait, values in yes.items():
        applies = np.isfinite(values)
        counts, hits = _tally(group, values, applies, len(known))
        own_counts, own_hits = _tally(group, values, applies & trusted, len(known))
        rest, other = own_counts.sum() - own_counts, own_hits.sum() - own_hits
        some = (counts > 0) & (rest > 0)
        own = np.divide(hits, counts, where=some, out=np.full(len(known), np.nan))
        others = np.divide(other, rest, where=some, out=np.full(len(known), np.nan))
        pooled = (hits + other) / np.maximum(counts + rest, 1)
        error = np.sqrt(
            pooled
            * (1 - pooled)
            * (1 / np.maximum(counts, 1) + 1 / np.maximum(rest, 1))
        )
        away = np.where(some & (error > 0), own - others, 0)
        p_values = 2 * norm.sf(np.abs(away) / np.where(error > 0, error, 1))
        flagged = discover(p_values, level)
        if trait in AGREEMENT:
            flagged &= away < 0
        for i, name in enumerate(known):
            found[str(name)][trait] = {
                "share": float(own[i]) if some[i] else None,
                "others": float(others[i]) if some[i] else None,
                "p_value": float(p_values[i]),
                "unusual": bool(flagged[i]),
            }
    return found


def _tally(
    group: np.ndarray, values: np.ndarray, some: np.ndarray, num_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """(labels, labels with the trait) of each group."""
    counts = np.bincount(group[some], minlength=num_groups).astype(float)
    return counts, np.bincount(group[some], values[some], num_groups)


def suspect(
    rows: list[dict[str, Any]], traits: dict[str, dict[str, Any]], level: float
) -> list[dict[str, Any]]:
    """The rows of `harm`, each with what all tests of its group say together.

    traits: `preferences` of the same groups. any_p_value: smallest of the p-values of
    harm and of the traits that apply, times their number; because: the test it is of;
    suspicious: discovered at FDR `level`.
    """
    found = []
    for row in rows:
        p_values = {"harm": row["p_value"]}
        for trait, seen in traits[row["name"]].items():
            if seen["share"] is not None:
                harmless = trait in AGREEMENT and seen["share"] >= seen["others"]
                p_values[trait] = 1.0 if harmless else seen["p_value"]
        because = min(p_values, key=lambda test: p_values[test])
        found.append((min(1.0, p_values[because] * len(p_values)), because))
    flagged = discover(np.array([p for p, _ in found]), level) if rows else ()
    return [
        row | {"any_p_value": p, "because": because, "suspicious": bool(flag)}
        for row, (p, because), flag in zip(rows, found, flagged, strict=True)
    ]
