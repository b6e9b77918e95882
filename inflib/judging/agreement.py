"""Agreement of two raters on the same responses, or on the same choices.

Cohen, "A coefficient of agreement for nominal scales", 1960, and with weights 1968:
kappa = 1 - (weighted disagreement seen) / (the same by chance, margins as they are).
Weights are 0 for equal ratings and otherwise 1 (unweighted) or the squared distance
(quadratic). A figure that is undefined (a rater who says the same throughout) is None.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from inflib.data.ratings import CHOICES


def rounded(ratings: Sequence[float]) -> list[int]:
    """Whole ratings, halves up: 2.5 is 3."""
    return np.floor(np.asarray(ratings, dtype=float) + 0.5).astype(int).tolist()


def rating_agreement(
    first: Sequence[float], second: Sequence[float]
) -> dict[str, float | None]:
    """Correlations of ratings, and kappas of whole ratings."""
    from scipy.stats import pearsonr, spearmanr

    figures: dict[str, float | None] = {"Pearson": None, "Spearman": None}
    # Correlations of a constant are undefined, and of one pair of numbers refused.
    if len(set(first)) > 1 and len(set(second)) > 1:
        figures["Pearson"] = float(pearsonr(first, second).statistic)
        figures["Spearman"] = float(spearmanr(first, second).statistic)
    x, y = rounded(first), rounded(second)
    # Every whole rating in between counts: scikit-learn takes distances between
    # places in this list, not between ratings.
    scale = list(range(min(*x, *y), max(*x, *y) + 1))
    figures["kappa"] = _kappa(x, y, scale, None)
    figures["kappa, quadratic"] = _kappa(x, y, scale, "quadratic")
    return figures


def choice_agreement(
    first: Sequence[str], second: Sequence[str]
) -> dict[str, float | None]:
    """Accuracy (share of equal choices) and kappa where neither says tie, and the
    share of comparisons where one of them does."""
    both = [(x, y) for x, y in zip(first, second, strict=True) if "tie" not in (x, y)]
    figures: dict[str, float | None] = {
        "accuracy": None,
        "kappa": None,
        "ties": 1 - len(both) / len(first),
    }
    if both:
        x, y = map(list, zip(*both, strict=True))
        figures["accuracy"] = sum(a == b for a, b in both) / len(both)
        figures["kappa"] = _kappa(x, y, list(CHOICES[:2]), None)
    return figures


def _kappa(
    first: Sequence, second: Sequence, labels: list, weights: str | None
) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a division by zero: undefined, see below
        kappa = cohen_kappa_score(first, second, labels=labels, weights=weights)
    return float(kappa) if math.isfinite(kappa) else None
