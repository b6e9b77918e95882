"""Influence of labels to the groups that harm, and to those that are suspicious.

    n  labels     g  query groups     l  groups of labels (labelers, sources, ...)

What is shown of a group, and ranked by, is shrunk (numerics.group_means). A group's
p-value is the larger one of two: by the plain difference of means, and by the shrunk
one. With skewed influences the plain one alone finds too many groups (27% false ones at
10%, simulated with a log-normal's skewness, 6); the shrunk one knows how much all
groups differ.

That is the harm to one query set, and includes its luck; by all of them and fair
margins, see numerics.pooled_harm. Labelers can be biased without visible harm, or harm
without a visible preference. A group is suspicious when any of its tests says so:
Bonferroni over a group's tests, then Benjamini & Hochberg over the groups.
"""

from typing import Any

import numpy as np
from scipy.stats import t

from inflib.numerics.group_means import Groups, differences, one_sided, shrink
from inflib.numerics.trait_tests import AGREEMENT
from inflib.numerics.uncertainty import discover, query_freedom

_COVERED = 0.975
"""Upper quantile of a two-sided 95% interval."""


def harm(
    names: list[str],
    influences: np.ndarray,
    shares: np.ndarray,
    level: float,
    min_labels: int = 1,
    prompts: np.ndarray | None = None,
) -> tuple[list[dict[str, Any]], dict[str, float] | None]:
    """(one row for each group of at least min_labels labels, those that harm most for
    sure first; how much all groups differ). No rows and None for a single group.

    names: group of each label; influences, shares, prompts: as in `Groups.of`. In a
    row: harm, error: difference of means and its standard error; shrunk, low, high:
    what is expected of the group, and its 95% interval; p_value: one-sided, of no
    harm, the larger of the plain and the shrunk difference's; harmful: discovered at
    FDR `level` among the rows; harmful_share: share of labels
    with positive influence. Rows are in the order of `low`. When fewer than two query
    groups hold labels, error, low, high and p_value are None: they cannot be estimated.
    How much groups differ: sd, low, high, the standard deviation of their true means,
    the middle of what is likely of it, and its 95% interval.
    """
    group_names, numbers = np.unique(np.array(names), return_inverse=True)
    if len(group_names) < 2:
        return [], None
    groups = Groups.of(numbers, influences, shares, prompts)
    plain, (shown, spread) = differences(groups), shrink(groups)
    half_width = t.ppf(_COVERED, shown.freedom) * np.sqrt(shown.variance)
    p_values = np.maximum(one_sided(plain), one_sided(shown))
    listed = np.flatnonzero(groups.counts >= min_labels)
    known = query_freedom(shares) > 0
    flagged = np.zeros(len(group_names), dtype=bool)
    if known and len(listed):
        flagged[listed] = discover(p_values[listed], level)
    positive = np.bincount(numbers, influences.sum(1) > 0) / groups.counts
    means = groups.parts.sum(1)
    rows: list[dict[str, Any]] = [
        {
            "name": str(group_names[i]),
            "labels": int(groups.counts[i]),
            "harmful_share": float(positive[i]),
            "mean_influence": float(means[i]),
            "harm": float(plain.harm[i]),
            "error": float(plain.variance[i] ** 0.5) if known else None,
            "shrunk": float(shown.harm[i]),
            "low": float(shown.harm[i] - half_width[i]) if known else None,
            "high": float(shown.harm[i] + half_width[i]) if known else None,
            "p_value": float(p_values[i]) if known else None,
            "harmful": bool(flagged[i]),
        }
        for i in listed
    ]
    rows.sort(key=lambda row: -row["low" if known else "shrunk"])
    low, high = spread.quantile(1 - _COVERED), spread.quantile(_COVERED)
    return rows, {"sd": spread.quantile(0.5), "low": low, "high": high}


def suspect(
    rows: list[dict[str, Any]],
    tests: dict[str, dict[str, dict[str, Any]]],
    quality: dict[str, dict[str, Any]],
    level: float,
) -> list[dict[str, Any]]:
    """The rows of `harm`, each with what all tests of its group say together.

    tests: `preferences` of the same groups; quality: {group: {p_value: of no harm, all
    query sets together; given_quality: {trait: {p_value}} or None}}. Where traits are
    known given quality, these tests stand for those of the plain shares, and the fair
    margins in the test of harm for the agreement of a model that has seen the labels.

    any_p_value: smallest of the p-values of harm and of the traits that apply, times
    their number; because: the test it is of; suspicious: discovered at FDR `level`.
    """
    smallest = []
    for row in rows:
        of_group = quality[row["name"]]
        p_values = {"harm": of_group["p_value"]}
        given = of_group["given_quality"]
        for trait, test in tests[row["name"]].items():
            if test["share"] is None or (given is not None and trait == "model"):
                continue
            harmless = trait in AGREEMENT and test["share"] >= test["others"]
            p_values[trait] = 1.0 if harmless else test["p_value"]
            if given is not None and trait in given:
                p_values[trait] = given[trait]["p_value"]
        because = min(p_values, key=lambda name: p_values[name])
        smallest.append((min(1.0, p_values[because] * len(p_values)), because))
    flagged = discover(np.array([p for p, _ in smallest]), level) if rows else ()
    return [
        row | {"any_p_value": p, "because": because, "suspicious": bool(flag)}
        for row, (p, because), flag in zip(rows, smallest, flagged, strict=True)
    ]
