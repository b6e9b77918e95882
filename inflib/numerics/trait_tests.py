"""Traits of labels to what each group of labels prefers.

    n  labels     l  groups of labels (labelers, sources, ...)

A trait is whether the chosen response was the longer one, say. The share of a group's
labels that have it is compared with that of the trusted labels of all other groups.
"""

from typing import Any

import numpy as np
from scipy.stats import hypergeom

from inflib.numerics.uncertainty import discover

AGREEMENT = ("model", "others")
"""Traits of which only too little is suspicious."""


def preferences(
    names: list[str],
    traits: dict[str, np.ndarray],
    trusted: np.ndarray,
    level: float,
    min_labels: int = 1,
) -> dict[str, dict[str, dict[str, Any]]]:
    """{group: {trait: {share, others, p_value, unusual}}}: how often labels of each
    group of at least min_labels labels have a trait, against the trusted ones among all
    other labels.

    names: group of each label; traits: {trait: [n] 1, 0 or NaN (does not apply)};
    trusted: [n] whether a label is among those that the others are compared with.
    p_value: two-sided, exact (Fisher's: twice the smaller tail of the hypergeometric
    distribution), since a normal approximation fails where few labels have a trait;
    unusual: discovered at FDR `level` over the groups, and not just much agreement.
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
        drawn = hypergeom(counts + other_counts, hits + other_hits, counts)
        tail = np.minimum(drawn.cdf(hits), drawn.sf(hits - 1))
        p_values = np.where(known, np.clip(2 * tail, 0, 1), 1.0)
        flagged = np.zeros(num_groups, dtype=bool)
        if len(listed):
            flagged[listed] = discover(p_values[listed], level)
        if trait in AGREEMENT:
            flagged &= ~(share >= others)
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
