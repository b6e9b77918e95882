"""What the query labels became in retrainings, beside what estimators predict: the rows
of the lds benchmark.

    m  choices of labels     s  seeds     q  query labels
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from inflib.benchmarks.lds_trials import HALF, LABELER, RANDOM, Choice
from inflib.numerics import preference_loss
from inflib.numerics.ranking import detection
from inflib.numerics.subset_agreement import (
    datamodeling_scores,
    rank_correlations,
    slope,
)
from inflib.scores.inner_products import RunProducts


@dataclass(frozen=True)
class Outcomes:
    """Margins of the query labels after the retrainings."""

    margins: Float[np.ndarray, "m s q"]
    """Of each choice of labels and seed."""

    all_margins: Float[np.ndarray, "s q"]
    """After training with all labels."""

    targets: Float[np.ndarray, " q"]
    """Probability that the chosen response of each query label is the better one."""

    @property
    def changes(self) -> Float[np.ndarray, "m q"]:
        """Of each margin, from the training with all labels and the same seed."""
        return (self.margins - self.all_margins).mean(1)

    @property
    def changes_of_loss(self) -> Float[np.ndarray, "m s"]:
        """Of the query set's mean loss."""
        return self._loss(self.margins) - self._loss(self.all_margins)

    def _loss(self, margins: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(margins.reshape(-1, margins.shape[-1]))
        targets = torch.from_numpy(self.targets)
        rows = [float(preference_loss.losses(m, targets).mean()) for m in flat]
        return np.array(rows).reshape(margins.shape[:-1])


def scores(
    predicted: dict[str, np.ndarray],
    outcomes: Outcomes,
    half: np.ndarray,
    prompts: np.ndarray,
    default: str,
    slopes: np.ndarray,
) -> list[dict[str, Any]]:
    """Linear datamodeling scores, of single query labels and of the set's mean loss."""
    of_halves = {name: values[half] for name, values in predicted.items()}
    margins = datamodeling_scores(of_halves, outcomes.changes[half], prompts, default)
    losses = {n: (v @ slopes / len(slopes))[:, None] for n, v in of_halves.items()}
    changes = outcomes.changes_of_loss[half].mean(1)[:, None]
    sets = datamodeling_scores(losses, changes, np.zeros(1, int), default)
    return [
        {"estimator": name, "lds": margins[name], "lds_of_set": sets[name]}
        for name in predicted
    ]


def group_slopes(
    name: str,
    predicted: dict[str, np.ndarray],
    outcomes: Outcomes,
    kinds: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Halves, and leave-group-out: slope and rank correlation of the query set's mean
    margin."""
    changes = outcomes.changes.mean(1)
    return {
        kind: slope(predicted[name][kinds == kind].mean(1), changes[kinds == kind])
        for kind in (HALF, RANDOM, LABELER)
        if (kinds == kind).sum() >= 3
    }


def changes(
    planned: list[Choice],
    predicted: np.ndarray,
    outcomes: Outcomes,
    slopes: np.ndarray,
) -> list[dict[str, Any]]:
    """Predicted and actual changes of the query set for each choice but the halves."""
    losses, rows = outcomes.changes_of_loss, []
    for i, choice in enumerate(planned):
        if choice.kind != HALF:
            rows.append(
                {
                    "kind": choice.kind,
                    "name": choice.name,
                    "labels": int((choice.kept == 0).sum() + choice.flipped.sum()),
                    "predicted_margin": float(predicted[i].mean()),
                    "margin": float(outcomes.changes[i].mean()),
                    "predicted_loss": float(predicted[i] @ slopes / len(slopes)),
                    "loss": float(losses[i].mean()),
                    "loss_by_seed": losses[i].tolist(),
                }
            )
    return rows


def between_seeds(outcomes: Outcomes, half: np.ndarray) -> float | None:
    """Mean rank correlation, over halves, of margins by two seeds: what one training
    says of another; None with a single seed."""
    margins = outcomes.margins[half]
    if margins.shape[1] < 2:
        return None
    return float(rank_correlations(margins[:, 0], margins[:, 1]).mean())


def add_aucs(
    rows: list[dict[str, Any]],
    found: dict[str, np.ndarray],
    products: RunProducts,
    truth: str | None,
) -> None:
    """AUC of finding wrong labels by influence on the query set's mean loss; and when a
    tenth of the query labels are turned round, the mean and the least of 20 draws."""
    if truth is None:
        return
    if truth not in products.columns:
        raise ValueError(f"--truth {truth!r}: no such column of the data")
    wrong = np.array([bool(value) for value in products.columns[truth]])
    for row in rows:
        if row["estimator"] in found:
            harm = found[row["estimator"]] @ products.slopes
            metrics = detection(harm, wrong)
            row["auc"] = metrics and metrics["auc"]
            row["auc_flipped_queries"] = _flipped(
                found[row["estimator"]], products, wrong
            )


def _flipped(
    effects: np.ndarray, products: RunProducts, wrong: np.ndarray
) -> dict[str, float]:
    rng, count, aucs = np.random.default_rng(4), len(products.slopes), []
    for _ in range(20):
        flipped = rng.permutation(count) < round(0.1 * count)
        slopes = np.where(flipped, products.flipped_slopes, products.slopes)
        metrics = detection(effects @ slopes, wrong)
        aucs.append(metrics["auc"] if metrics else math.nan)
    return {"mean": float(np.mean(aucs)), "least": float(np.min(aucs))}
