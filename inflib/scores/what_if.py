"""Edits of labels and their scores to the predicted change of each query loss.

    n  labels that are edited     g  query groups

To first order in the edits, and without retraining (`verify` retrains): a query set's
loss changes by the sum of the edits' effects divided by the number of labels. The
effect is -influence for a dropped label, (factor - 1) * influence for one whose weight
is multiplied by a factor, the flip effect for a flipped one, and a share of the flip
effect for one that becomes a tie: half of it where no margin is required (Koh & Liang,
ICML 2017, arXiv:1703.04730, section 2). The number of labels is the sum of their
weights.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from inflib.config.recipe import Recipe
from inflib.data.label_edits import FLIP, TIE, Edit, Edits
from inflib.data.output_columns import (
    FLIP_PARTS,
    MARGIN,
    PARTS,
    REQUIRED_MARGIN,
    TARGET,
)
from inflib.numerics import preference_loss
from inflib.numerics.uncertainty import query_freedom, query_variance
from inflib.scores.influence_folder import InfluenceFolder


def predict(
    recipe: Recipe, influence: InfluenceFolder, edits: Edits
) -> list[dict[str, Any]]:
    """Rows with the predicted change of every query set's loss, by action and for all
    edits together.

    By the reported curvature's scores. change_of_query_loss: > 0 means that the loss
    rises; error: its standard error over draws of the query set, None when fewer than
    two query groups hold labels. Raises ValueError naming a label that the run does not
    have.
    """
    table, rows = influence.edited(edits), []
    for query in recipe.prepare.queries:
        score = f"{recipe.score.reported}_{query}"
        shares = influence.shares(query)
        effects = _effects(table, score, len(shares), list(edits.values()))
        actions = [edit.action for edit in edits.values()]
        for action in (*sorted(set(actions)), "all"):
            chosen = [action in (a, "all") for a in actions]
            change = effects[chosen].sum(0) / influence.record.finite
            variance = query_variance(
                torch.from_numpy(change[None]), torch.from_numpy(shares)
            )
            rows.append(
                {
                    "query": query,
                    "edits": action,
                    "labels": sum(chosen),
                    "change_of_query_loss": float(change.sum()),
                    "error": float(variance.sqrt()) if query_freedom(shares) else None,
                }
            )
    return rows


def _effects(
    table: pa.Table, score: str, num_groups: int, edits: list[Edit]
) -> np.ndarray:
    """[n g] effect of each edit, as shares of the query groups; 0 without a score.

    table: rows of the edited labels, in the order of the edits.
    """
    parts = _lists(table[PARTS.of(score)], num_groups)
    flip_parts = _lists(table[FLIP_PARTS.of(score)], num_groups)
    factors = np.array([edit.weight - 1 for edit in edits])
    actions = np.array([edit.action for edit in edits])
    shares = np.where(actions == FLIP, 1.0, 0.0)
    ties = actions == TIE
    shares[ties] = tie_shares(table.filter(pa.array(ties)))
    return shares[:, None] * flip_parts + factors[:, None] * parts


def tie_shares(table: pa.Table) -> np.ndarray:
    """[n] effect of making each label a tie, as a share of its flip effect.

    With d, d_flip and d_tie the derivatives of its loss in the margin as labelled, if
    flipped and as a tie, that is (d_tie - d) / (d_flip - d), since all three influences
    are such a derivative times the same number. 0 for a label that is a tie.
    """
    margin, required, target = (
        torch.from_numpy(table[column.name].to_numpy(zero_copy_only=False).copy())
        for column in (MARGIN, REQUIRED_MARGIN, TARGET)
    )
    tied = torch.full_like(target, 0.5)
    before = preference_loss.derivatives(margin - required, target)
    flipped = -preference_loss.derivatives(-margin - required, target)
    change = preference_loss.derivatives(margin, tied) - before
    whole = flipped - before
    return torch.where(whole == 0, 0.0, change / whole).nan_to_num(0.0).numpy()


def _lists(column: pa.ChunkedArray, length: int) -> np.ndarray:
    """The column's lists, all of this length, as rows; 0 for null."""
    return np.array([values or [0.0] * length for values in column.to_pylist()])
