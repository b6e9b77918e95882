"""Figures of a ranking."""

import numpy as np


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a positive outranks a negative, ties 1/2.

    Labels without a score (NaN) are left out; None when one class is empty.
    """
    from sklearn.metrics import roc_auc_score  # takes seconds to import

    known = np.isfinite(scores)
    scores, positive = scores[known], positive[known]
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, scores))


def ranks(scores: np.ndarray) -> np.ndarray:
    """1 for the highest score; ties in input order; 0 where there is none (NaN)."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    found = np.empty(len(scores), dtype=np.int64)
    found[order] = np.arange(1, len(scores) + 1)
    found[~np.isfinite(scores)] = 0
    return found
