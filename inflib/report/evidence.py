"""A scored run to the facts that its trust verdicts rest on, by query set.

n  labels     g  query groups
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import spearmanr, t

from inflib.data.output_columns import GRADIENT_NORM, INFLUENCE, PARTS
from inflib.numerics.clustered_shares import clustered_mean, clustered_share
from inflib.numerics.damping import reliability
from inflib.numerics.label_means import LabelMargins
from inflib.scores.sketch_set import SketchSet
from inflib.shapes.pairs import prompt_of
from inflib.storage.folder import Folder

TOO_SURE = 0.9
"""Best scale of a query set's margins below which a model is too sure of itself."""

_SAMPLE = 20_000
"""Training labels that rank correlations are computed on, evenly over the run."""


@dataclass(frozen=True)
class Judged:
    """What the reward model says of the labels of a pair set that count; arrays [n]."""

    margins: np.ndarray
    """r(chosen) - r(rejected)."""

    comparisons: np.ndarray
    """comparison_ids."""

    targets: np.ndarray
    """Probability that the chosen response is the better one."""

    weights: np.ndarray | None = None
    """Factors of the labels' losses; None: all 1."""

    @staticmethod
    def of(run: Folder, pairs: str) -> "Judged":
        """Those of a pair set, in plan order."""
        sketches = SketchSet(run, pairs)
        margins, comparisons, targets, weights = [], [], [], []
        for shard in sketches.plan():
            labels = sketches.labels(shard)
            counted = labels.counted.numpy()
            margins.append((labels.signs * labels.margins).numpy()[counted])
            ids = sketches.table(shard, ["comparison_id"])["comparison_id"]
            comparisons += ids.filter(pa.array(counted)).to_pylist()
            targets.append(labels.targets.numpy()[counted])
            weights.append(labels.importance.numpy()[counted])
        return Judged(
            np.concatenate(margins),
            np.array(comparisons, dtype=str),
            np.concatenate(targets),
            np.concatenate(weights),
        )

    @cached_property
    def means(self) -> LabelMargins:
        """The labels, for their means; no margin is required of them."""
        weights = np.ones(len(self.margins)) if self.weights is None else self.weights
        columns = self.margins, np.zeros(len(self.margins)), self.targets, weights
        return LabelMargins(*(torch.from_numpy(np.array(c, float)) for c in columns))

    @cached_property
    def prompts(self) -> np.ndarray:
        """Digits that stand for each label's prompt."""
        return np.array([prompt_of(name) for name in self.comparisons], dtype=str)

    @cached_property
    def accuracy(self) -> dict[str, Any] | None:
        """{share, low, high, labels, prompts}: share of the labels that the model
        agrees with, and its 95% interval over draws of prompts.

        Ties, of the model or of the labeler, are left out. None when the labels that
        are left have fewer than two prompts.
        """
        agrees = np.sign(self.margins) * np.sign(self.targets - 0.5)
        decided = agrees != 0
        share = clustered_share(agrees[decided] > 0, self.prompts[decided])
        if share is None:
            return None
        names = ("share", "low", "high", "labels", "prompts")
        return dict(zip(names, share, strict=True))

    def is_too_sure(self) -> bool:
        """Whether the loss would be less with margins less than TOO_SURE times as
        large, for sure: its derivative there is above 0 (one-sided t test over draws of
        prompts, 2.5%)."""
        decided = self.targets != 0.5
        margins = (self.margins * np.sign(self.targets - 0.5))[decided]
        slopes = -margins / (1 + np.exp(np.clip(TOO_SURE * margins, -500, 500)))
        if not len(slopes):
            return False
        slope = clustered_mean(slopes, self.prompts[decided])
        bound = t.ppf(0.975, slope.freedom) if slope.freedom > 0 else np.inf
        return bool(slope.mean > bound * slope.variance**0.5)


def evidence(
    query: Judged, train: Judged, table: pa.Table, score: str, report: dict[str, Any]
) -> dict[str, Any]:
    """Facts on one query set.

    table: scores of the labels that count; score: gauss_newton_expert, for example;
    report: of the query set in pairs/report.json. accuracy, train_accuracy: see
    `Judged.accuracy`; best_scale, too_sure; reliability: rank correlation of the scores
    by two halves of the query set; explained_by_norm: squared rank correlation of the
    scores with the norms of the labels' gradients, 0 where all labels have one score;
    comparisons_in_train, prompts_in_train: share of the query labels whose comparison,
    or prompt, has a training label; near_in_train: like it, of near-duplicates, where
    `prepare` counted them.
    """
    rows = np.unique(np.linspace(0, len(table) - 1, _SAMPLE).astype(int))
    sample = table.take(rows)
    scores = sample[INFLUENCE.of(score)].to_numpy()
    norms = sample[GRADIENT_NORM.name].to_numpy()
    parts = sample[PARTS.of(score)].combine_chunks().flatten().to_numpy()
    varied = len(rows) > 2 and np.ptp(scores) > 0 and np.ptp(norms) > 0
    in_train = np.isin(query.comparisons, train.comparisons)
    prompts = np.isin(query.prompts, train.prompts)
    facts = {
        "accuracy": query.accuracy,
        "train_accuracy": train.accuracy,
        "best_scale": round(query.means.best_scale, 3),
        "too_sure": query.is_too_sure(),
        "reliability": reliability(parts.reshape(len(rows), -1).astype(float)),
        "explained_by_norm": float(spearmanr(scores, norms).statistic ** 2)
        if varied
        else 0.0,
        "comparisons_in_train": float(in_train.mean()),
        "prompts_in_train": float(prompts.mean()),
    }
    if "near_in_train" in report and report.get("labels"):
        facts["near_in_train"] = report["near_in_train"] / report["labels"]
    return facts
