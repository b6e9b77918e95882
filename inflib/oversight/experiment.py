"""One simulated labeler: new weights by every method, and what they are worth.

n  labels that count     m  objectives     s  parts of the query set
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
    direction,
    extremes,
    outcome,
    slopes,
)
from inflib.oversight.labeling import DISAGREES, FIRST, prefers_first, score_differences


@dataclass(frozen=True)
class LabelerChoices:
    """A labeler's labels, and in simulations the expert's."""

    pair_ids: list[str]
    differences: Float[np.ndarray, "n m"]
    """Scores of the chosen response minus those of the rejected one."""

    first: Bool[np.ndarray, " n"]
    """The first response was chosen."""

    disagrees: Bool[np.ndarray, " n"]
    """The expert would have chosen the other one."""

    @staticmethod
    def read(table: pa.Table, objectives: Sequence[str]) -> "LabelerChoices":
        """From scored labels. Raises ValueError naming a column that is missing."""
        return LabelerChoices(
            table["pair_id"].to_pylist(),
            score_differences(table, objectives),
            table[FIRST].to_numpy(),
            table[DISAGREES].to_numpy(),
        )

    @property
    def apart(self) -> Float[np.ndarray, "n m"]:
        """Scores of the first response minus those of the second."""
        return np.where(self.first[:, None], self.differences, -self.differences)

    def flips(self, weights: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " n"]:
        """Labels that a labeler with these weights would turn round."""
        return prefers_first(weights, self.apart) != self.first

    def edits(self, weights: Float[np.ndarray, " m"]) -> Edits:
        flips = self.flips(weights)
        ids = [i for i, flip in zip(self.pair_ids, flips, strict=True) if flip]
        return {pair_id: Edit(FLIP, 1.0) for pair_id in ids}


def new_weights(
    labels: LabelerChoices, suspicion: dict[str, Float[np.ndarray, " n"]], seed: int
) -> dict[Method, Float[np.ndarray, " m"]]:
    """By every method. suspicion: of influence, and of other methods if there are."""
    rng = np.random.default_rng(seed)
    scores = suspicion | {"random": rng.random(len(labels.first))}
    agree = {method: agreeing(values) for method, values in scores.items()}
    agree["upper_bound"] = ~labels.disagrees
    found = {
        method: direction(labels.differences, sides) for method, sides in agree.items()
    }
    found["least_squares"] = slopes(labels.differences, suspicion["influence"])
    return {method: found[method] for method in get_args(Method) if method in found}


def ablations(
    config: SimulationConfig,
    labels: LabelerChoices,
    influence: Float[np.ndarray, " n"],
    sizes: list[int],
    of_parts: Float[np.ndarray, "n s"],
) -> list[dict[str, Any]]:
    """Outcomes of influence with fewer query labels, and with fewer training labels.

    of_parts: influence on parts of the query set, of these sizes.
    """
    expert, rows = np.array(config.expert), []
    for size, scores in zip(sizes, of_parts.T, strict=True):
        updates = {
            "query labels": direction(labels.differences, agreeing(scores)),
            "query labels, least squares": slopes(labels.differences, scores),
        }
        for field, weights in updates.items():
            found = outcome(weights, expert, labels.apart)
            rows.append({"field": field, "value": size} | found)
    for share in (0.5, *config.shares):
        places, agree = extremes(influence, share)
        weights = direction(labels.differences[places], agree)
        found = outcome(weights, expert, labels.apart)
        rows.append({"field": "share at either end", "value": share} | found)
    return rows


def mean_over(rows: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """{method: mean of every figure over labelers, with 95% intervals (Student t), and
    the labelers' own rows}. rows: {method: figures} of each labeler."""
    found: dict[str, dict[str, Any]] = {}
    for method in rows[0]:
        own = [row[method] for row in rows]
        figures: dict[str, Any] = {}
        for name, value in own[0].items():
            if isinstance(value, float):
                around = t_interval([row[name] for row in own])
                figures[name] = around.pop("mean")
                figures |= {f"{name}_{end}": x for end, x in around.items()}
        found[method] = figures | {"labelers": own}
    return found
