"""Algorithm 1: from which labels seem to agree with the expert to new weights.

    n  labels     m  objectives

x is r(chosen) - r(rejected) of a label, in every objective. The expert agrees with a
label where w . x > 0, w being the expert's weights, so the plane that parts labels that
agree from labels that do not has w as its normal. Labels are parted by a score, at its
median: half of them are taken to agree. ("Understanding Impact of Human Feedback via
Influence Functions", Algorithm 1.)
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from inflib.oversight.labeling import cosine, prefers_first


def agreeing(suspicion: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Labels at or below the median: those taken to agree with the expert.

    suspicion: higher is less likely to agree (influence is one such).
    """
    return suspicion <= np.median(suspicion)


def extremes(
    suspicion: Float[np.ndarray, " n"], share: float
) -> tuple[np.ndarray, Bool[np.ndarray, " _"]]:
    """(places, whether they are taken to agree) of that share of the labels at either
    end; at least one each."""
    count = max(1, round(share * len(suspicion)))
    order = np.argsort(suspicion, kind="stable")
    places = np.concatenate([order[:count], order[-count:]])
    return places, np.repeat([True, False], count)


def direction(
    differences: Float[np.ndarray, "n m"], agree: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Weights, of length 1: the normal of a linear SVM, on the side that agrees.

    Objectives are brought to unit mean square first, so that the SVM's penalty does
    not depend on their units. The intercept is free: the median is not where agreement
    ends. All zeros when only one side has labels.
    """
    from sklearn.svm import LinearSVC

    if agree.all() or not agree.any():
        return np.zeros(differences.shape[1])
    return unit_normal(LinearSVC(dual=False, random_state=0), differences, agree)


def slopes(
    differences: Float[np.ndarray, "n m"], influence: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Weights, of length 1, by least squares of -influence on x, without an intercept.

    Influence of a label is linear in its gradient: the more of what the expert wants
    the chosen response has, the less harm. Uses how large influence is, where the
    median uses the order alone. (Not in the paper.)
    """
    found, *_ = np.linalg.lstsq(differences, -influence, rcond=None)
    return found / (np.linalg.norm(found) or 1.0)


def unit_normal(
    model: Any, rows: Float[np.ndarray, "n m"], sides: np.ndarray
) -> Float[np.ndarray, " m"]:
    """Normal, of length 1, of the plane by which a linear classifier of scikit-learn
    parts rows, in the rows' own units; it is fitted on columns of unit mean square."""
    scale = np.sqrt(np.square(rows).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    weights = model.fit(rows / scale, sides).coef_[0] / scale
    return weights / (np.linalg.norm(weights) or 1.0)


def outcome(
    weights: Float[np.ndarray, " m"],
    expert: Float[np.ndarray, " m"],
    apart: Float[np.ndarray, "n m"],
) -> dict[str, float]:
    """Of labels by these weights: how many the expert agrees with, and the cosine.

    apart: scores of the first response minus those of the second.
    """
    same = prefers_first(weights, apart) == prefers_first(expert, apart)
    return {"label_accuracy": float(same.mean()), "cosine": cosine(weights, expert)}
