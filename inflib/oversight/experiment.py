"""Influence of one simulated labeler's labels to new weights by every method, and how
near these come to the expert.

    n  labels that count     m  objectives     s  subsets of the query set
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from inflib.config.oversight import Method, SimulationConfig
from inflib.data.label_edits import FLIP, Edit, Edits
from inflib.numerics.uncertainty import t_interval
from inflib.oversight.expert_weights import (
    agreeing,
    extremes,
    least_squares,
    outcome,
    svm_weights,
)
from inflib.oversight.labeling import DISAGREES, FIRST, prefers_first, score_differences


@dataclass(frozen=True)
class LabelerChoices:
    """What a simulated labeler chose, and whether the expert would have."""

    pair_ids: list[str]
    differences: Float[np.ndarray, "n m"]
    """Scores of the chosen response minus those of the rejected one."""

    first: Bool[np.ndarray, " n"]
    """The first response was chosen."""

    disagrees: Bool[np.ndarray, " n"]
    """The expert would have chosen the other one."""

    @staticmethod
    def read(table: pa.Table, objectives: Sequence[str]) -> "LabelerChoices":
        """Choices of scored labels, which have the simulation's columns.

        Raises ValueError naming an objective's column that is missing.
        """
        return LabelerChoices(
            table["pair_id"].to_pylist(),
            score_differences(table, objectives),
            table[FIRST].to_numpy(),
            table[DISAGREES].to_numpy(),
        )

    @property
    def first_minus_second(self) -> Float[np.ndarray, "n m"]:
        """Scores of the first response minus those of the second."""
        return np.where(self.first[:, None], self.differences, -self.differences)

    def flips(self, weights: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " n"]:
        """Labels whose other response a labeler with these weights would choose."""
        return prefers_first(weights, self.first_minus_second) != self.first

    def edits(self, weights: Float[np.ndarray, " m"]) -> Edits:
        """Edits that make the labels those of a labeler with these weights."""
        flips = self.flips(weights)
        ids = [i for i, flip in zip(self.pair_ids, flips, strict=True) if flip]
        return {pair_id: Edit.of(FLIP) for pair_id in ids}


def new_weights(
    labels: LabelerChoices, suspicion: dict[str, Float[np.ndarray, " n"]], seed: int
) -> dict[Method, Float[np.ndarray, " m"]]:
    """{method: weights of length 1} of the update by each method.

    suspicion: {method: score of each label, higher where the expert is less likely to
    agree}, of influence and other methods; seed: of the method "random".
    """
    rng = np.random.default_rng(seed)
    scores = suspicion | {"random": rng.random(len(labels.first))}
    agree = {method: agreeing(values) for method, values in scores.items()}
    agree["upper_bound"] = ~labels.disagrees
    weights = {
        method: svm_weights(labels.differences, sides)
        for method, sides in agree.items()
    }
    weights["least_squares"] = least_squares(labels.differences, suspicion["influence"])
    return {name: weights[name] for name in get_args(Method) if name in weights}


def ablations(
    config: SimulationConfig,
    labels: LabelerChoices,
    influence: Float[np.ndarray, " n"],
    sizes: list[int],
    subset_influence: Float[np.ndarray, "n s"],
) -> list[dict[str, Any]]:
    """Rows of field (what is varied), value and the outcome of an update by influence:
    with fewer query labels, by SVM and by least squares, and with fewer of the
    labeler's labels (shares at either end of influence).

    subset_influence: influence on subsets of the query set, which have these sizes.
    """
    expert, rows = np.array(config.expert), []
    for size, scores in zip(sizes, subset_influence.T, strict=True):
        updates = {
            "query labels": svm_weights(labels.differences, agreeing(scores)),
            "query labels, least squares": least_squares(labels.differences, scores),
        }
        for field, weights in updates.items():
            metrics = outcome(weights, expert, labels.first_minus_second)
            rows.append({"field": field, "value": size} | metrics)
    for share in (0.5, *config.shares):
        places, agree = extremes(influence, share)
        weights = svm_weights(labels.differences[places], agree)
        metrics = outcome(weights, expert, labels.first_minus_second)
        rows.append({"field": "share at either end", "value": share} | metrics)
    return rows


def means_over_labelers(
    rows: list[dict[str, dict[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """{method: mean of every metric over labelers, with the ends of its 95% interval
    (Student's t) as <metric>_low and <metric>_high, and the labelers' rows}.

    rows: {method: {metric: value}} of each labeler.
    """
    means: dict[str, dict[str, Any]] = {}
    for method in rows[0]:
        labelers = [row[method] for row in rows]
        metrics: dict[str, Any] = {}
        for name, value in labelers[0].items():
            if isinstance(value, float):
                interval = t_interval([labeler[name] for labeler in labelers])
                metrics[name] = interval.pop("mean")
                metrics |= {f"{name}_{end}": x for end, x in interval.items()}
        means[method] = metrics | {"labelers": labelers}
    return means
