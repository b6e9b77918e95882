"""Labels by weighing sub-objective scores, as rows of preference data.

    n  pairs     m  objectives

A labeler with weights w prefers the second response where w . r0 < w . r1, otherwise
the first one, ties included ("Understanding Impact of Human Feedback via Influence
Functions", section 5.2). The order of the two is random (inflib.oversight.rated).
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from inflib.config.oversight import SimulationConfig
from inflib.oversight.rated import RatedPair

DISAGREES = "disagrees"
"""Column of a simulated label: the expert would have chosen the other response."""

FIRST = "first_chosen"
"""Column: the first response was chosen."""

_TRIES = 10_000
_ALIKE = 0.98
"""Cosine above which a drawn labeler is a near-duplicate of an earlier one."""


def differences(pairs: Sequence[RatedPair]) -> Float[np.ndarray, "n m"]:
    """Scores of the first response minus those of the second."""
    return np.array([np.subtract(p.first.scores, p.second.scores) for p in pairs])


def prefers_first(
    weights: Sequence[float] | np.ndarray, differences: Float[np.ndarray, "n m"]
) -> Bool[np.ndarray, " n"]:
    """Whether a labeler prefers the first response."""
    return differences @ np.asarray(weights, dtype=float) >= 0


def draw_labelers(
    config: SimulationConfig, differences: Float[np.ndarray, "n m"]
) -> list[tuple[float, ...]]:
    """Weights uniform in [0, 6], of which those are kept whose labels agree with the
    expert's on a share within `agreement` and who are no near-duplicates.

    Raises ValueError when there are too few such weights.
    """
    rng = np.random.default_rng(config.seed)
    expert = prefers_first(config.expert, differences)
    low, high = config.agreement
    found: list[np.ndarray] = []
    for _ in range(_TRIES):
        weights = rng.uniform(0, 6, size=len(config.expert)).round(1)
        share = (prefers_first(weights, differences) == expert).mean()
        alike = any(cosine(weights, other) > _ALIKE for other in found)
        if low <= share <= high and not alike:
            found.append(weights)
        if len(found) == config.draw:
            return [tuple(map(float, weights)) for weights in found]
    raise ValueError(
        f"oversight.simulate: {len(found)} of {config.draw} labelers found in {_TRIES} "
        f"draws whose agreement with the expert lies in {list(config.agreement)}"
    )


def cosine(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """0 when one of them has length 0."""
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
    """JSONL of labels: pair_id, prompt, chosen, rejected, labeler, DISAGREES, FIRST,
    and <objective>_chosen and <objective>_rejected."""
    apart = differences(pairs)
    first, right = prefers_first(weights, apart), prefers_first(expert, apart)
    lines = []
    for pair, is_first, is_right in zip(pairs, first, right, strict=True):
        both = (pair.first, pair.second) if is_first else (pair.second, pair.first)
        row = {
            "pair_id": pair.pair_id,
            "prompt": pair.first.prompt,
            "chosen": both[0].response,
            "rejected": both[1].response,
            "labeler": labeler,
            DISAGREES: bool(is_first != is_right),
            FIRST: bool(is_first),
        }
        for i, name in enumerate(objectives):
            row[f"{name}_chosen"] = both[0].scores[i]
            row[f"{name}_rejected"] = both[1].scores[i]
        lines.append(json.dumps(row) + "\n")
    return "".join(lines)


def score_differences(
    table: pa.Table, objectives: Sequence[str]
) -> Float[np.ndarray, "n m"]:
    """Chosen minus rejected, from the kept columns <name>_chosen and <name>_rejected.

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
