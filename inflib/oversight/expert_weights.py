"""Influence and score differences of labels to the expert's weights (Algorithm 1).

    n  labels     m  objectives

x holds a label's score differences, chosen - rejected, one for each objective. The
expert agrees with a label where w . x > 0, w being the expert's weights, so w is the
normal of the plane that separates labels that agree from labels that do not. Which ones
agree is guessed from a score: the half of the labels up to its median. ("Understanding
Impact of Human Feedback via Influence Functions", Algorithm 1.)
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from inflib.oversight.labeling import cosine, prefers_first


def agreeing(suspicion: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which labels are taken to agree with the expert: those at or below the median.

    suspicion: a score that is higher where the expert is less likely to agree, such as
    influence.
    """
    return suspicion <= np.median(suspicion)


def extremes(
    suspicion: Float[np.ndarray, " n"], share: float
) -> tuple[np.ndarray, Bool[np.ndarray, " _"]]:
    """(indices of labels, whether each is taken to agree): the share of the labels with
    the lowest suspicion and as many with the highest, at least one each."""
    count = max(1, round(share * len(suspicion)))
    order = np.argsort(suspicion, kind="stable")
    places = np.concatenate([order[:count], order[-count:]])
    return places, np.repeat([True, False], count)


def svm_weights(
    differences: Float[np.ndarray, "n m"], agree: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Weights of length 1: the normal of the plane by which a linear SVM separates the
    labels, towards those that agree; zeros when all labels agree, or none.

    Objectives are brought to unit mean square first, so that the SVM's penalty does
    not depend on their units. The intercept is free: the median is not where agreement
    ends.

    differences: chosen - rejected.
    """
    from sklearn.svm import LinearSVC

    if agree.all() or not agree.any():
        return np.zeros(differences.shape[1])
    return unit_normal(LinearSVC(dual=False, random_state=0), differences, agree)


def least_squares(
    differences: Float[np.ndarray, "n m"], influence: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Weights of length 1: the coefficients of -influence regressed on x by least
    squares, without an intercept.

    Influence of a label is linear in its gradient: the more of what the expert wants
    the chosen response has, the less harm. Uses how large influence is, where Algorithm
    1 uses only on which side of the median it lies. (Not in the paper.)
    """
    weights, *_ = np.linalg.lstsq(differences, -influence, rcond=None)
    return weights / (np.linalg.norm(weights) or 1.0)


def unit_normal(
    model: Any, rows: Float[np.ndarray, "n m"], sides: np.ndarray
) -> Float[np.ndarray, " m"]:
    """Normal, of length 1, of the plane by which a linear classifier of scikit-learn
    separates rows, in the rows' units; it is fitted on columns of unit mean square."""
    scale = np.sqrt(np.square(rows).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    weights = model.fit(rows / scale, sides).coef_[0] / scale
    return weights / (np.linalg.norm(weights) or 1.0)


def outcome(
    weights: Float[np.ndarray, " m"],
    expert: Float[np.ndarray, " m"],
    differences: Float[np.ndarray, "n m"],
) -> dict[str, float]:
    """label_accuracy: share of pairs on which these weights choose as the expert's do;
    cosine: of the two weights.

    differences: scores of the first response minus those of the second.
    """
    same = prefers_first(weights, differences) == prefers_first(expert, differences)
    return {"label_accuracy": float(same.mean()), "cosine": cosine(weights, expert)}
