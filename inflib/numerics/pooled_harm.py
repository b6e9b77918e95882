"""Influence on all query sets, and fair margins, to one test of each group of labels.

    n  labels     q  query sets     l  groups of labels (labelers, sources, ...)

Influences have a few very large values, which drown what most labels say, and each
query set has its own unit. So each label's influence becomes the normal score of its
rank by size, with its sign (van der Waerden's; Hajek, Sidak & Sen, Theory of Rank
Tests, 1999, section 4.6), and these are averaged over query sets. Beside them, with the
same weight, stands how surely a fair model calls the label wrong.

Flipping a label flips the sign of both. A label that says what the fair model expects
therefore counts less than one that does not: times the probability that a typical
labeler would have said the opposite, what the fair model says is 0 on average over what
labelers may say on this comparison, however hard it is. What is left of difficulty
(influence knows more of the truth than the fair model, which is not calibrated) is
taken out as the mean of all labels about which the fair model is as sure. So groups
with harder comparisons do not look worse for it. Without a fair model they may.

The query set is taken as given: the question is whether a group's labels differ from
the others', not by how much they would harm on all queries (numerics.group_tests).
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from scipy.stats import norm, rankdata

from inflib.numerics.group_means import Groups, differences, one_sided, shrink

_STRATA = 10
"""Parts of the labels, by how sure the fair model is."""


def suspicion(
    influences: Float[np.ndarray, "n q"],
    odds: Float[np.ndarray, " n"] | None,
    typical: float,
) -> Float[np.ndarray, " n"]:
    """How much each label speaks against whoever gave it; on average 0 where all err
    alike, above 0 where they err more.

    influences: positive harms; odds: log-odds that the truth is what the label says, by
    all but the label itself (numerics.labeler_model), None where no fair margin is
    known; typical: error rate of a labeler.
    """
    sizes = rankdata(np.abs(influences), axis=0) / (len(influences) + 1)
    scores = np.sign(influences) * norm.ppf((1 + sizes) / 2)
    parts = [_unit(scores.mean(1))] if influences.shape[1] else []
    if odds is None:
        return sum(parts, np.zeros(len(influences)))
    parts.append(_unit(-np.tanh(odds / 2)))
    opposite = typical + (1 - 2 * typical) * expit(-odds)
    values = 2 * opposite * sum(parts) / len(parts)
    sure = (rankdata(np.abs(odds)) - 1) * _STRATA // len(odds)
    strata = sure.astype(int)
    return (
        values
        - (np.bincount(strata, values) / np.maximum(1, np.bincount(strata)))[strata]
    )


def _unit(values: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.mean(values**2))
    return values / (size if size > 0 else 1)


def pooled_tests(
    groups: Int[np.ndarray, " n"],
    suspicions: Float[np.ndarray, " n"],
    prompts: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " l"]]:
    """(mean suspicion over that of all other labels, one-sided p-value of no more) of
    groups 0 to l - 1, at least two of them.

    Labels of a group on one prompt count as one observation; groups of few labels
    borrow the variance of the others, and the larger p-value of the plain and the
    shrunk difference is taken (numerics.group_means).
    """
    of_groups = Groups.of(groups, suspicions[:, None], np.array([1.0]), prompts)
    plain, (shown, _) = differences(of_groups), shrink(of_groups)
    return plain.harm, np.maximum(one_sided(plain), one_sided(shown))
