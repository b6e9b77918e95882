"""Scores of a run to the labels whose influence surely differs from zero."""

import numpy as np

from inflib.config.recipe import Recipe
from inflib.data.output_columns import ERROR, INFLUENCE
from inflib.numerics.uncertainty import discoveries, query_freedom
from inflib.scores.influence_folder import InfluenceFolder


def differing_labels(
    recipe: Recipe, influence: InfluenceFolder, query: str
) -> np.ndarray | None:
    """[n] which labels' influence on a query set differs from zero, by the reported
    curvature and at the false discovery rate report.fdr. None where that cannot be
    estimated, since fewer than two query groups hold labels."""
    freedom = query_freedom(influence.shares(query))
    if freedom == 0:
        return None
    table, score = influence.table, f"{recipe.score.reported}_{query}"
    return discoveries(
        table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False),
        table[ERROR.of(score)].to_numpy(zero_copy_only=False),
        recipe.report.fdr,
        freedom,
    )
