"""Edits of labels and their scores to the predicted change of each query loss.

    n  labels that are edited     g  query groups

To first order in the effects, and without retraining (`verify` retrains): a query set's
loss changes by the sum of the edits' effects divided by the number of labels after the
edits, which is the sum of their weights. The effect is the flip effect for a flipped
label, a share of it for one that becomes a tie (half of it without a required margin),
and (factor - 1) * (influence - weight * mean influence) for one whose weight is
multiplied by a factor, 0 for a dropped one (Koh & Liang, ICML 2017, arXiv:1703.04730,
section 2). The mean influence is that of all labels: training minimises a mean, so what
leaves it is replaced by all that stay, and twice every weight changes nothing. The mean
is 0 only for a model trained to the minimum of its loss.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from inflib.config.recipe import Recipe
from inflib.config.score import Curvature
from inflib.data.label_edits import FLIP, TIE, Edit, Edits
from inflib.data.output_columns import (
    FLIP_PARTS,
    GRADIENT_NORM,
    MARGIN,
    PARTS,
    REQUIRED_MARGIN,
    STATUS,
    TARGET,
    WEIGHT,
)
from inflib.numerics import preference_loss
from inflib.numerics.uncertainty import query_freedom, query_variance
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.prediction_size import prediction_factor
from inflib.sketches import store


def predict(
    recipe: Recipe, influence: InfluenceFolder, edits: Edits
) -> list[dict[str, Any]]:
    """Rows with the predicted change of every query set's loss, by action and for all
    edits together.

    By the reported curvature's scores. change_of_query_loss: > 0 means that the loss
    rises; error: its standard error over draws of the query set, None when fewer than
    two query groups hold labels; factor: what both are multiplied with, see
    `prediction_factor`, None where nothing is; leverage: what first order leaves out,
    see `leverages`, None for curvatures without a sweep of dampings. Raises ValueError
    naming a label that the run does not have.
    """
    table, rows = influence.edited(edits), list[dict[str, Any]]()
    added = _weights(table) * _added(list(edits.values()))
    for query in recipe.prepare.queries:
        score = f"{recipe.score.reported}_{query}"
        shares = influence.shares(query)
        mean = influence.mean_parts(score)
        effects = _effects(table, score, mean, list(edits.values()))
        factor = prediction_factor(recipe, influence, query, score)
        leverage = leverages(table, recipe.score.reported, influence, query, added)
        actions = [edit.action for edit in edits.values()]
        for action in (*sorted(set(actions)), "all"):
            chosen = [action in (a, "all") for a in actions]
            total = influence.record.finite + float(added[chosen].sum())
            if total <= 0:
                raise ValueError("no label with a weight would be left")
            change = effects[chosen].sum(0) / total * (factor or 1.0)
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
                    "factor": factor,
                    "leverage": None
                    if leverage is None
                    else float(leverage[chosen].sum()),
                }
            )
    return rows


def _weights(table: pa.Table) -> np.ndarray:
    """[n] weight of each label; 0 for one that does not count."""
    counts = np.array(table[STATUS.name].to_pylist()) == store.OK
    return counts * table[WEIGHT.name].to_numpy(zero_copy_only=False)


def _added(edits: list[Edit]) -> np.ndarray:
    """[n] by what share each edit changes the label's weight."""
    return np.array([edit.weight - 1 for edit in edits])


def _effects(
    table: pa.Table, score: str, mean: np.ndarray, edits: list[Edit]
) -> np.ndarray:
    """[n g] effect of each edit, as shares of the query groups; 0 without a score.

    table: rows of the edited labels, in the order of the edits; mean: [g] influence.
    """
    parts = _lists(table[PARTS.of(score)], len(mean))
    flip_parts = _lists(table[FLIP_PARTS.of(score)], len(mean))
    about_mean = parts - _weights(table)[:, None] * mean
    actions = np.array([edit.action for edit in edits])
    shares = np.where(actions == FLIP, 1.0, 0.0)
    ties = actions == TIE
    shares[ties] = tie_shares(table.filter(pa.array(ties)))
    return shares[:, None] * flip_parts + _added(edits)[:, None] * about_mean


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


def leverages(
    table: pa.Table,
    kind: Curvature,
    influence: InfluenceFolder,
    query: str,
    added: np.ndarray,
) -> np.ndarray | None:
    """[n] leverage of edited labels: by what share the curvature H + lambda I changes
    along any direction, at most, when their weights do.

    |a| h |s|^2 / (n lambda), a being what is added to a label's weight, h s s' its term
    of H: by the Cauchy-Schwarz inequality no x has x' (a h s s' / n) x > leverage * x'
    (H + lambda I) x. Predictions hold H as it is; with a sum e < 1 over the edits, they
    are off by up to e / (1 - e), relative to their length in the metric of H + lambda
    I (Woodbury's identity; Koh et al., NeurIPS 2019, arXiv:1905.13289, section 3, have
    the same comparison with a Newton step). Flips and ties change no weight. None for
    curvatures without a lambda of their own. added: see `_added`, times the weight.
    """
    damping = influence.damping(kind, query)
    if damping is None:
        return None
    margin, required, target, norm = (
        table[column.name].to_numpy(zero_copy_only=False)
        for column in (MARGIN, REQUIRED_MARGIN, TARGET, GRADIENT_NORM)
    )
    excess = torch.from_numpy(margin - required)
    slope = preference_loss.derivatives(excess, torch.from_numpy(target.copy()))
    weights = _weights(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        sq_norm = np.square(norm / (weights * slope.numpy()))
    terms = (
        preference_loss.second_derivatives(excess)
        if kind == "gauss_newton"
        else slope.square()
    ).numpy()
    trace = influence.record.curvatures[kind].trace
    assert trace is not None
    n_lambda = influence.record.finite * damping * trace
    return np.nan_to_num(np.abs(added) * terms * sq_norm / n_lambda, posinf=0.0)


def _lists(column: pa.ChunkedArray, length: int) -> np.ndarray:
    """The column's lists, all of this length, as rows; 0 for null."""
    return np.array([values or [0.0] * length for values in column.to_pylist()])
