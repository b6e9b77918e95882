"""Two raters' ratings or choices of the same things to how far they agree.

kappa = 1 - (weighted disagreement observed) / (its expectation if the raters, each with
as many of every rating as observed, were independent). Weights are 0 for equal ratings,
and otherwise 1 (unweighted: Cohen, "A coefficient of agreement for nominal scales",
1960) or the squared distance (quadratic: Cohen, 1968). A metric that is undefined, as
where a rater says the same throughout, is None.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from inflib.data.ratings import CHOICES


def rounded(ratings: Sequence[float]) -> list[int]:
    """Whole ratings, halves rounded up: 2.5 is 3."""
    return np.floor(np.asarray(ratings, dtype=float) + 0.5).astype(int).tolist()


def rating_agreement(
    first: Sequence[float], second: Sequence[float]
) -> dict[str, float | None]:
    """{metric: value}: Pearson and Spearman correlation of the ratings; kappa of the
    ratings rounded to whole ones, unweighted and quadratic."""
    from scipy.stats import pearsonr, spearmanr

    metrics: dict[str, float | None] = {"Pearson": None, "Spearman": None}
    # Correlations of a constant are undefined, and of one pair of numbers refused.
    if len(set(first)) > 1 and len(set(second)) > 1:
        metrics["Pearson"] = float(pearsonr(first, second).statistic)
        metrics["Spearman"] = float(spearmanr(first, second).statistic)
    x, y = rounded(first), rounded(second)
    # Every whole rating in between counts: scikit-learn takes distances between
    # places in this list, not between ratings.
    scale = list(range(min(*x, *y), max(*x, *y) + 1))
    metrics["kappa"] = _kappa(x, y, scale, None)
    metrics["kappa, quadratic"] = _kappa(x, y, scale, "quadratic")
    return metrics


def choice_agreement(
    first: Sequence[str], second: Sequence[str]
) -> dict[str, float | None]:
    """{metric: value}: accuracy (share of equal choices) and kappa of the comparisons
    where neither rater says tie; ties, the share of comparisons where one does."""
    pairs = [(x, y) for x, y in zip(first, second, strict=True) if "tie" not in (x, y)]
    metrics: dict[str, float | None] = {
        "accuracy": None,
        "kappa": None,
        "ties": 1 - len(pairs) / len(first),
    }
    if pairs:
        x, y = map(list, zip(*pairs, strict=True))
        metrics["accuracy"] = sum(a == b for a, b in pairs) / len(pairs)
        metrics["kappa"] = _kappa(x, y, list(CHOICES[:2]), None)
    return metrics


def _kappa(
    first: Sequence, second: Sequence, labels: list, weights: str | None
) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a division by zero: undefined, see below
        kappa = cohen_kappa_score(first, second, labels=labels, weights=weights)
    return float(kappa) if math.isfinite(kappa) else None
