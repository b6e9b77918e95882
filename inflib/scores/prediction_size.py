"""What all training labels did together, as predicted and as it came: the size that
predictions need.

Labels are scored halfway through training, where gradients are still smaller than they
become, so that first order tells the order of labels and not the size of their effects.
But the size is known for all labels together: their effects add up to the margins that
training gave the query labels.
"""

import torch

from inflib.config.recipe import Recipe
from inflib.model.reward_folder import has_margins, read_margins
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder

_MOST = 100.0
"""Factor beyond which, or below one over which, a ratio is one of noise."""


def prediction_factor(
    recipe: Recipe, influence: InfluenceFolder, query: str, score: str
) -> float | None:
    """What predictions for a query set are multiplied with.

    sum_q c_q m_q / sum_q c_q sum_i e_iq. c_q: derivative of a query label's loss in its
    margin; m_q: its margin by the finished model; e_iq: predicted effect of training
    label i on it, so that the denominator is the mean influence. None where labels are
    scored by the finished model itself, or its margins are gone; and where the two
    differ in sign or by a factor of 100: then there is no size to go by. score: e.g.
    gauss_newton_expert. Raises ValueError where reward_model/ has margins of other
    query labels.
    """
    run = Folder(recipe.run)
    if Manifest(run).learning_rate_sum is None or not has_margins(run / "reward_model"):
        return None
    finished = read_margins(run / "reward_model")[query]
    slopes, weights, counts = [], [], []
    sketches = SketchSet(run, query)
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        weighted = labels.importance > 0  # those whose margins are kept
        slope = labels.signs * labels.query_derivatives(recipe.score.query_loss)
        slopes.append(slope[weighted])
        weights.append(labels.importance[weighted])
        counts.append(labels.counted[weighted])
    slope, weight, counted = (torch.cat(part) for part in (slopes, weights, counts))
    if len(slope) != len(finished):
        raise ValueError(
            f"{run.url}/reward_model has margins of {len(finished)} labels of {query}, "
            f"the run has {len(slope)} with a weight: train again"
        )
    change = (slope * finished)[counted].sum() / weight[counted].sum()
    predicted = float(influence.mean_parts(score).sum())
    factor = float(change) / predicted if predicted else 0.0
    return factor if 1 / _MOST < factor < _MOST else None
