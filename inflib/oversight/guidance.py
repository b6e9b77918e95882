"""Scored labels of one labeler to how its weights of the objectives differ from the
expert's, and to the decisions that show it.

    n  labels of the labeler     m  objectives

The labeler's weights are those of its decisions: logistic regression on score
differences, as in a Bradley-Terry model. The expert's are estimated from how much each
label raises the loss on the expert's labels (oversight.expert_weights.least_squares:
closer to known experts than the paper's SVM where these labelled little). Both are
scaled to length 1. Intervals are bootstrap percentiles over the labeler's labels, with
the influence scores taken as exact.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from inflib.config.oversight import OversightConfig
from inflib.data.output_columns import ERROR, INFLUENCE
from inflib.numerics.ranking import p_value, percentile_interval
from inflib.oversight.expert_weights import least_squares, unit_normal
from inflib.oversight.labeling import score_differences

_FEWEST_LABELS = 10
"""With fewer, a labeler's weights are not estimated."""


def labeler_weights(differences: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    """Weights, of length 1, by which a labeler decides; 0 for an objective in which no
    responses differ.

    differences: chosen - rejected.
    """
    from sklearn.linear_model import LogisticRegression

    # Every decision and its mirror image: the order of responses says nothing.
    mirrored = np.concatenate([differences, -differences])
    model = LogisticRegression(fit_intercept=False, C=10.0)
    return unit_normal(model, mirrored, np.repeat([1, 0], len(differences)))


def weight_differences(
    differences: Float[np.ndarray, "n m"],
    influence: Float[np.ndarray, " n"],
    config: OversightConfig,
) -> list[dict[str, Any]]:
    """One row per objective: objective, labeler_weight, expert_weight (estimated from
    influence), difference (labeler - expert) with low and high, the ends of its 95%
    bootstrap percentile interval, and p of no difference. No rows for fewer than ten
    labels.

    differences: chosen - rejected; influence: on the expert's labels.
    """
    if len(differences) < _FEWEST_LABELS:
        return []
    count, rng = len(differences), np.random.default_rng(config.seed)
    draws = [rng.integers(count, size=count) for _ in range(config.resamples)]
    draws = [np.arange(count), *draws]
    labeler = np.stack([labeler_weights(differences[d]) for d in draws])
    expert = np.stack([least_squares(differences[d], influence[d]) for d in draws])
    excess = labeler - expert
    rows = []
    for i, name in enumerate(config.objectives):
        low, high = percentile_interval(excess[1:, i])
        rows.append(
            {
                "objective": name,
                "labeler_weight": float(labeler[0, i]),
                "expert_weight": float(expert[0, i]),
                "difference": float(excess[0, i]),
                "low": low,
                "high": high,
                "p": p_value(excess[1:, i]),
            }
        )
    return rows


def in_words(row: dict[str, Any]) -> str:
    """Whether the labeler weighs an objective more or less than the expert, or whether
    the 95% interval holds no difference.

    row: of `differs`.
    """
    if row["low"] <= 0 <= row["high"]:
        return "no clear difference"
    word = "more" if row["low"] > 0 else "less"
    return f"weighs it {word} than the expert"


def decisions(
    table: pa.Table, score: str, objectives: tuple[str, ...], most: int
) -> list[dict[str, Any]]:
    """Up to `most` labels that raise the loss on the expert's labels, the most harmful
    first: pair_id, place (row in the table), influence, error (its standard error), and
    by objective the score difference (chosen - rejected).

    table: the labeler's scored labels; score: e.g. gauss_newton_expert.
    """
    influence = table[INFLUENCE.of(score)].to_numpy()
    errors = table[ERROR.of(score)].to_numpy()
    differences = score_differences(table, objectives)
    order = [
        i for i in np.argsort(-influence, kind="stable")[:most] if influence[i] > 0
    ]
    ids = table["pair_id"].to_pylist()
    return [
        {
            "pair_id": ids[i],
            "place": int(i),
            "influence": float(influence[i]),
            "error": float(errors[i]),
            **{name: float(differences[i, j]) for j, name in enumerate(objectives)},
        }
        for i in order
    ]
