"""Weights and pairs of rated responses to labels, as rows of preference data.

    n  pairs of responses, or labels     m  objectives

With r0 and r1 the scores of a pair's first and second response, a labeler with weights
w prefers the second where w . r0 < w . r1, otherwise the first, ties included
("Understanding Impact of Human Feedback via Influence Functions", section 5.2). Which
response is first is random (inflib.oversight.rated).
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from inflib.config.oversight import SimulationConfig
from inflib.oversight.rated import RatedPair

DISAGREES = "disagrees"
"""Column of simulated labels: whether the expert would have chosen otherwise."""

FIRST = "first_chosen"
"""Column of simulated labels: whether the first response was chosen."""

_TRIES = 10_000
"""Draws of weights after which no more are tried."""

_ALIKE = 0.98
"""Cosine above which a drawn labeler is a near-duplicate of an earlier one."""


def differences(pairs: Sequence[RatedPair]) -> Float[np.ndarray, "n m"]:
    """Scores of the first response minus those of the second."""
    return np.array([np.subtract(p.first.scores, p.second.scores) for p in pairs])


def prefers_first(
    weights: Sequence[float] | np.ndarray, differences: Float[np.ndarray, "n m"]
) -> Bool[np.ndarray, " n"]:
    """Whether a labeler with these weights prefers the first response of each pair.

    differences: first - second.
    """
    return differences @ np.asarray(weights, dtype=float) >= 0


def draw_labelers(
    config: SimulationConfig, differences: Float[np.ndarray, "n m"]
) -> list[tuple[float, ...]]:
    """Weights of config.draw labelers, drawn uniformly in [0, 6] until enough of them
    agree with the expert on a share of the pairs within config.agreement and are no
    near-duplicates of earlier ones.

    Raises ValueError when too few of 10,000 draws do. differences: first - second.
    """
    rng = np.random.default_rng(config.seed)
    expert = prefers_first(config.expert, differences)
    low, high = config.agreement
    labelers: list[np.ndarray] = []
    for _ in range(_TRIES):
        weights = rng.uniform(0, 6, size=len(config.expert)).round(1)
        share = (prefers_first(weights, differences) == expert).mean()
        alike = any(cosine(weights, earlier) > _ALIKE for earlier in labelers)
        if low <= share <= high and not alike:
            labelers.append(weights)
        if len(labelers) == config.draw:
            return [tuple(map(float, weights)) for weights in labelers]
    raise ValueError(
        f"oversight.simulate: {len(labelers)} of {config.draw} labelers found in "
        f"{_TRIES} draws whose agreement with the expert lies in "
        f"{list(config.agreement)}"
    )


def cosine(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Cosine of the angle between two vectors; 0 when one of them has length 0."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def labelled_lines(
    pairs: Sequence[RatedPair],
    objectives: Sequence[str],
    weights: Sequence[float],
    expert: Sequence[float],
    labeler: str,
) -> str:
    """JSONL of one labeler's labels, a line for each pair: pair_id, prompt, chosen,
    rejected, labeler, DISAGREES, FIRST, <objective>_chosen and <objective>_rejected.

    weights: the labeler's; expert: the expert's weights.
    """
    gaps = differences(pairs)
    first, expert_first = prefers_first(weights, gaps), prefers_first(expert, gaps)
    lines = []
    for pair, is_first, is_experts in zip(pairs, first, expert_first, strict=True):
        ranked = (pair.first, pair.second) if is_first else (pair.second, pair.first)
        row = {
            "pair_id": pair.pair_id,
            "prompt": pair.first.prompt,
            "chosen": ranked[0].response,
            "rejected": ranked[1].response,
            "labeler": labeler,
            DISAGREES: bool(is_first != is_experts),
            FIRST: bool(is_first),
        }
        for i, name in enumerate(objectives):
            row[f"{name}_chosen"] = ranked[0].scores[i]
            row[f"{name}_rejected"] = ranked[1].scores[i]
        lines.append(json.dumps(row) + "\n")
    return "".join(lines)


def score_differences(
    table: pa.Table, objectives: Sequence[str]
) -> Float[np.ndarray, "n m"]:
    """Scores of each label's chosen response minus those of the rejected one, from the
    kept columns <objective>_chosen and <objective>_rejected.

    Raises ValueError naming a column that is missing, or has no numbers.
    """
    columns = []
    for name in objectives:
        sides = []
        for side in ("chosen", "rejected"):
            column = f"{name}_{side}"
            try:
                values = table[column].to_numpy().astype(float)
            except (KeyError, ValueError):
                values = np.array([np.nan])
            if not np.isfinite(values).all():
                raise ValueError(
                    f"oversight.objectives: the labels need a number in the column "
                    f"{column!r}; theirs are {table.column_names}"
                )
            sides.append(values)
        columns.append(sides[0] - sides[1])
    return np.stack(columns, axis=1)
