"""In what a labeler differs from the expert, and which decisions show it.

    n  labels of one labeler     m  objectives

A labeler's own weights are read from the decisions (logistic regression on score
differences, as in a Bradley-Terry model); the expert's from how much each of them
raises the loss on the expert's labels (oversight.expert_weights.slopes: closer to known
experts than the paper's SVM where these labelled little). Both are scaled to length 1.
Intervals are by bootstrap over the labeler's labels; they do not know how far the
influence scores themselves are off.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from inflib.config.oversight import OversightConfig
from inflib.data.output_columns import ERROR, INFLUENCE
from inflib.numerics.ranking import p_value, percentile_interval
from inflib.oversight.expert_weights import slopes, unit_normal
from inflib.oversight.labeling import score_differences

_FEWEST = 10
"""Labels without which nothing is said of a labeler."""


def own_weights(differences: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    """What a labeler's decisions weigh, of length 1 (0 where nothing differs).

    differences: chosen - rejected.
    """
    from sklearn.linear_model import LogisticRegression

    # Every decision and its mirror image: the order of responses says nothing.
    both = np.concatenate([differences, -differences])
    model = LogisticRegression(fit_intercept=False, C=10.0)
    return unit_normal(model, both, np.repeat([1, 0], len(differences)))


def differs(
    differences: Float[np.ndarray, "n m"],
    influence: Float[np.ndarray, " n"],
    config: OversightConfig,
) -> list[dict[str, Any]]:
    """One row per objective: the labeler's weight, the expert's as far as influence
    tells, how much more the labeler gives (difference, 95% interval, p). No rows for
    fewer labels than can say anything.
    """
    if len(differences) < _FEWEST:
        return []
    count, rng = len(differences), np.random.default_rng(config.seed)
    draws = [rng.integers(count, size=count) for _ in range(config.resamples)]
    draws = [np.arange(count), *draws]
    own = np.stack([own_weights(differences[d]) for d in draws])
    expert = np.stack([slopes(differences[d], influence[d]) for d in draws])
    more = own - expert
    rows = []
    for i, name in enumerate(config.objectives):
        low, high = percentile_interval(more[1:, i])
        rows.append(
            {
                "objective": name,
                "labeler_weight": float(own[0, i]),
                "expert_weight": float(expert[0, i]),
                "difference": float(more[0, i]),
                "low": low,
                "high": high,
                "p": p_value(more[1:, i]),
            }
        )
    return rows


def said(row: dict[str, Any]) -> str:
    """A row of `differs` in words."""
    if row["low"] <= 0 <= row["high"]:
        return "no clear difference"
    word = "more" if row["low"] > 0 else "less"
    return f"weighs it {word} than the expert"


def decisions(
    table: pa.Table, score: str, objectives: tuple[str, ...], most: int
) -> list[dict[str, Any]]:
    """A labeler's labels that raise the expert's loss most, the most harmful first:
    pair_id, influence, its standard error, and the score differences (chosen -
    rejected). Labels that lower it are not listed.

    table: scored labels; score: e.g. gauss_newton_expert.
    """
    scores = table[INFLUENCE.of(score)].to_numpy()
    errors = table[ERROR.of(score)].to_numpy()
    apart = score_differences(table, objectives)
    order = [i for i in np.argsort(-scores, kind="stable")[:most] if scores[i] > 0]
    ids = table["pair_id"].to_pylist()
    return [
        {
            "pair_id": ids[i],
            "place": int(i),
            "influence": float(scores[i]),
            "error": float(errors[i]),
            **{name: float(apart[i, j]) for j, name in enumerate(objectives)},
        }
        for i in order
    ]
