"""Figures of a ranking."""

import numpy as np


def detection(scores: np.ndarray, positive: np.ndarray) -> dict[str, float] | None:
    """Figures of finding the positives by high scores.

    auc: area under the ROC curve, how often a positive outranks a negative, ties 1/2;
    ap: average precision; tnr80: share of the negatives below the threshold that finds
    80% of the positives. Labels without a score (NaN) are left out; None when one class
    is empty.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    known = np.isfinite(scores)
    scores, positive = scores[known], positive[known]
    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, scores)
    return {
        "auc": float(roc_auc_score(positive, scores)),
        "ap": float(average_precision_score(positive, scores)),
        "tnr80": float(1 - false[true >= 0.8].min()),
    }


def ranks(scores: np.ndarray) -> np.ndarray:
    """1 for the highest score; ties in input order; 0 where there is none (NaN)."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    found = np.empty(len(scores), dtype=np.int64)
    found[order] = np.arange(1, len(scores) + 1)
    found[~np.isfinite(scores)] = 0
    return found
