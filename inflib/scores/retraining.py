"""What to retrain to see whether scores are right, and what came of it.

Trials are edits of the training labels: none; the most harmful labels dropped and
flipped; as many random ones dropped and flipped; each of some groups of labels dropped,
from the least to the most harmful (leave-group-out); random halves dropped (LDS, linear
datamodeling score, Park et al., "TRAK", ICML 2023, arXiv:2303.14186, section 5.1).
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from inflib.config.score import VerifyConfig
from inflib.data.label_edits import DROP, FLIP, Edit, Edits
from inflib.data.output_columns import INFLUENCE
from inflib.numerics.uncertainty import t_interval

ALL = "all labels"
HARMFUL, RANDOM, GROUP, SUBSET = "harmful", "random", "group", "subset"


@dataclass(frozen=True)
class Trial:
    """One training."""

    kind: str
    """`all labels`, `drop harmful`, `flip random`, ..., `group`, `subset`."""

    number: int
    """Of the seed, group or subset."""

    seed: int
    """Added to train.seed."""

    edits: Edits

    @property
    def name(self) -> str:
        """Equal for equal trainings: more seeds or groups keep what is there."""
        edits = [(name, vars(edit)) for name, edit in sorted(self.edits.items())]
        digest = hashlib.sha256(json.dumps(edits).encode()).hexdigest()[:8]
        return f"{self.kind.replace(' ', '-')}-{self.number}-{digest}"


def plan_trials(config: VerifyConfig, table: pa.Table, score: str) -> list[Trial]:
    """Trials over the labels that have a score.

    table: scores of labels; score: e.g. gauss_newton_expert.
    """
    scores = table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False)
    ids = np.array(table["pair_id"].to_pylist())[np.isfinite(scores)]
    order = np.argsort(-scores[np.isfinite(scores)], kind="stable")
    count = max(1, round(config.share * len(ids)))
    trials = []
    for seed in range(config.seeds):
        rng = np.random.default_rng([seed, 0])
        picked = {HARMFUL: order[:count], RANDOM: rng.permutation(len(ids))[:count]}
        trials.append(Trial(ALL, seed, seed, {}))
        for action in (DROP, FLIP):
            for which, places in picked.items():
                edits = _edits(ids[places], action)
                trials.append(Trial(f"{action} {which}", seed, seed, edits))
    groups = np.array_split(order[::-1], config.groups) if config.groups else []
    for number, places in enumerate(groups):
        trials.append(Trial(GROUP, number, 0, _edits(ids[places], DROP)))
    for number in range(config.subsets):
        rng = np.random.default_rng([number, 1])
        places = rng.permutation(len(ids))[: len(ids) // 2]
        trials.append(Trial(SUBSET, number, 0, _edits(ids[places], DROP)))
    return trials


def _edits(ids: np.ndarray, action: str) -> Edits:
    edit = Edit(action, 0.0 if action == DROP else 1.0)
    return {str(pair_id): edit for pair_id in ids}


def compare(
    trials: list[Trial], found: dict[str, dict[str, float]], predicted: dict[str, float]
) -> dict[str, Any]:
    """Figures of one query set.

    found: {trial: {"loss", "accuracy"}} after training; predicted: change of the loss.
    Changes are from all labels with the same seed; intervals are 95% over seeds
    (Student t), of training's randomness alone: the query set is the same.
    """
    before = {trial.seed: found[trial.name] for trial in trials if trial.kind == ALL}
    kinds = dict.fromkeys(t.kind for t in trials if t.kind not in (GROUP, SUBSET))
    arms = []
    for kind in kinds:
        own = [trial for trial in trials if trial.kind == kind]
        row: dict[str, Any] = {"arm": kind, "labels": len(own[0].edits)}
        for figure in ("accuracy", "loss"):
            values = [found[trial.name][figure] for trial in own]
            changes = [
                found[trial.name][figure] - before[trial.seed][figure] for trial in own
            ]
            row[figure] = t_interval(values)
            row[f"change_of_{figure}"] = t_interval(changes)
        row["predicted_change_of_loss"] = float(
            np.mean([predicted[trial.name] for trial in own])
        )
        arms.append(row)
    return {
        "arms": arms,
        "leave_group_out": _agreement(trials, GROUP, found, predicted),
        "lds": _agreement(trials, SUBSET, found, predicted),
    }


def _agreement(
    trials: list[Trial],
    kind: str,
    found: dict[str, dict[str, float]],
    predicted: dict[str, float],
) -> dict[str, Any] | None:
    """Rank correlation of predicted with actual changes of the loss."""
    own = [trial for trial in trials if trial.kind == kind]
    if len(own) < 3:
        return None
    (start,) = (found[t.name]["loss"] for t in trials if t.kind == ALL and t.seed == 0)
    actual = [found[trial.name]["loss"] - start for trial in own]
    expected = [predicted[trial.name] for trial in own]
    return {
        "spearman": float(spearmanr(expected, actual).statistic),
        "predicted": expected,
        "actual": actual,
    }
