"""What flipping, dropping or reweighting labels would do, on paper.

    n  labels that are edited     g  query groups

To first order in the edits, and with the reward model as it is: the change of query set
q's loss is the mean over all labels of each edit's effect, which is -influence for a
dropped label, (weight - 1) * influence for a reweighted one and the flip effect for a
flipped one (Koh & Liang, ICML 2017, arXiv:1703.04730, section 2). `verify` retrains.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from inflib.config.recipe import Recipe
from inflib.data.label_edits import FLIP, Edit, Edits
from inflib.data.output_columns import FLIP_EFFECT, INFLUENCE, PARTS
from inflib.numerics.uncertainty import query_variance
from inflib.scores.influence_folder import InfluenceFolder


def predict(
    recipe: Recipe, influence: InfluenceFolder, edits: Edits
) -> list[dict[str, Any]]:
    """Predicted change of every query set's loss, by action and for all edits at once.

    Of the reported curvature. error: standard error over draws of the query set.
    Raises ValueError naming labels that the run does not have.
    """
    table, rows = influence.edited(edits), []
    for query in recipe.prepare.queries:
        score = f"{recipe.score.reported}_{query}"
        shares = influence.shares(query)
        parts = _parts(table, score, len(shares), list(edits.values()))
        actions = [edit.action for edit in edits.values()]
        for action in (*sorted(set(actions)), "all"):
            chosen = [action in (a, "all") for a in actions]
            change = parts[chosen].sum(0) / influence.record.finite
            variance = query_variance(
                torch.from_numpy(change[None]), torch.from_numpy(shares)
            )
            rows.append(
                {
                    "query": query,
                    "edits": action,
                    "labels": sum(chosen),
                    "change_of_query_loss": float(change.sum()),
                    "error": float(variance.sqrt()),
                }
            )
    return rows


def _parts(
    table: pa.Table, score: str, num_groups: int, edits: list[Edit]
) -> np.ndarray:
    """[n g] effect of each edit, as shares of the query groups; 0 without a score."""
    influence = _floats(table[INFLUENCE.of(score)])
    flip = _floats(table[FLIP_EFFECT.of(score)])
    lists = table[PARTS.of(score)].to_pylist()
    parts = np.array([row or [0.0] * num_groups for row in lists])
    ratio = np.divide(flip, influence, where=influence != 0, out=np.zeros(len(flip)))
    factors = [
        r if edit.action == FLIP else edit.weight - 1
        for r, edit in zip(ratio, edits, strict=True)
    ]
    return parts * np.array(factors)[:, None]


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(float))
