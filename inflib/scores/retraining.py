"""Scores to a plan of retraining, and its results to how well the scores predict them.

A trial is one training with edited labels. The edits are: none; the most harmful labels
dropped, or flipped; as many random ones dropped, or flipped; one group of labels
dropped, the groups being cut from the least to the most harmful label
(leave-group-out); a random half dropped (LDS, linear datamodeling score, Park et al.,
"TRAK", ICML 2023, arXiv:2303.14186, section 5.1). The first five kinds of trials are
the arms of the comparison, each with one trial per seed. To check decisions, the arms
are: no edits, the decisions, and the same edits of as many random labels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from inflib.config.score import VerifyConfig
from inflib.data.label_edits import DROP, FLIP, Edit, Edits
from inflib.data.output_columns import INFLUENCE
from inflib.numerics.retrained_sizes import RetrainedSize, left_out, size_of
from inflib.numerics.uncertainty import t_interval
from inflib.storage.folder import Folder

ALL = "all labels"
HARMFUL, RANDOM, GROUP, SUBSET = "harmful", "random", "group", "subset"
DECIDED, SAME_ON_RANDOM = "decisions", "the same on random labels"

METRICS = ("loss", "refined_loss", "accuracy")
"""Of a query set after retraining; refined_loss, at the best scale of all margins, does
not change with how sure a model is (numerics.label_means)."""


@dataclass(frozen=True)
class Trial:
    """One training with edited labels."""

    kind: str
    """`all labels`, `drop harmful`, `flip random`, ..., `group`, `subset`, `decisions`,
    `the same on random labels`."""

    number: int
    """Number of the seed, the group or the subset, within its kind."""

    seed: int
    """Added to train.seed."""

    edits: Edits

    @property
    def name(self) -> str:
        """Kind and number: distinct among the trials of a plan."""
        return f"{self.kind.replace(' ', '-')}-{self.number}"


def plan_trials(config: VerifyConfig, table: pa.Table, score: str) -> list[Trial]:
    """All trials, whose edits are of labels that have a score.

    table: influence.parquet; score: curvature and query set that say which labels are
    harmful, gauss_newton_expert for example.
    """
    scores, ids = _scored(table, score)
    order = np.argsort(-scores, kind="stable")
    count = max(1, round(config.share * len(ids)))
    trials = []
    for seed in range(config.seeds):
        rng = np.random.default_rng([seed, 0])
        picked = {HARMFUL: order[:count], RANDOM: rng.permutation(len(ids))[:count]}
        trials.append(Trial(ALL, seed, seed, {}))
        for action in (DROP, FLIP):
            for which, indices in picked.items():
                edits = _edits(ids[indices], action)
                trials.append(Trial(f"{action} {which}", seed, seed, edits))
    groups = np.array_split(order[::-1], config.groups) if config.groups else []
    for number, indices in enumerate(groups):
        trials.append(Trial(GROUP, number, 0, _edits(ids[indices], DROP)))
    for number in range(config.subsets):
        rng = np.random.default_rng([number, 1])
        indices = rng.permutation(len(ids))[: len(ids) // 2]
        trials.append(Trial(SUBSET, number, 0, _edits(ids[indices], DROP)))
    return trials


def plan_decided(seeds: int, table: pa.Table, score: str, edits: Edits) -> list[Trial]:
    """The trials that check decisions: for each seed no edits, these edits, and the
    same edits of as many random labels, drawn anew for each seed from all labels that
    have a score.

    table: influence.parquet; score: any of its scores.
    """
    _, ids = _scored(table, score)
    trials = []
    for seed in range(seeds):
        picked = np.random.default_rng([seed, 2]).permutation(len(ids))[: len(edits)]
        # Where more labels are decided than have a score, all that have one are drawn.
        drawn = dict(zip(ids[picked].tolist(), edits.values(), strict=False))
        trials += [
            Trial(ALL, seed, seed, {}),
            Trial(DECIDED, seed, seed, edits),
            Trial(SAME_ON_RANDOM, seed, seed, drawn),
        ]
    return trials


def _scored(table: pa.Table, score: str) -> tuple[np.ndarray, np.ndarray]:
    """(scores, pair_ids) of the labels that have a score, in the table's order."""
    scores = table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False)
    ids = np.array(table["pair_id"].to_pylist(), dtype=object)
    return scores[np.isfinite(scores)], ids[np.isfinite(scores)]


def _edits(ids: np.ndarray, action: str) -> Edits:
    """The same edit, drop or flip, of each of these labels."""
    edit = Edit.of(action)
    return {str(pair_id): edit for pair_id in ids}


def effects_of_trials(
    trials: list[Trial],
    measured: dict[str, dict[str, float]],
    predicted: dict[str, float],
) -> dict[str, Any]:
    """Measured and predicted effects of the trials on one query set: {arms,
    against_random, leave_group_out, lds, size, left_out}.

    measured: {trial: METRICS} after training; predicted: {trial: change of
    the loss}. Changes are from the training with all labels and the same seed. The
    arms' intervals are Student's t over seeds, 95%, of training's randomness alone: the
    query set is the same. against_random: the decisions' metrics minus those of the
    same edits of random labels, paired by seed, with such intervals; None without
    decisions. size: a RetrainedSize's fields, by all trials but subsets, which are no
    small change; None where it is not known. left_out: a LeftOut's fields, how often
    that size holds for other edits. The other two are rank correlations of
    predicted with measured changes; None with fewer than three trials.
    """
    before = {trial.seed: measured[trial.name] for trial in trials if trial.kind == ALL}
    kinds = dict.fromkeys(t.kind for t in trials if t.kind not in (GROUP, SUBSET))
    arms = []
    for kind in kinds:
        arm = [trial for trial in trials if trial.kind == kind]
        row: dict[str, Any] = {"arm": kind, "labels": len(arm[0].edits)}
        for metric in METRICS:
            values = [measured[trial.name][metric] for trial in arm]
            changes = [
                measured[trial.name][metric] - before[trial.seed][metric]
                for trial in arm
            ]
            row[metric] = t_interval(values)
            if metric == "accuracy":
                row[metric] = _within_0_and_1(row[metric])
            row[f"change_of_{metric}"] = t_interval(changes)
        row["predicted_change_of_loss"] = float(
            np.mean([predicted[trial.name] for trial in arm])
        )
        arms.append(row)
    return {
        "arms": arms,
        "against_random": _against_random(trials, measured),
        "leave_group_out": _agreement(trials, GROUP, measured, predicted),
        "lds": _agreement(trials, SUBSET, measured, predicted),
        **_sizes(trials, measured, predicted),
    }


def read_sizes(run: Folder, scores: str) -> dict[str, RetrainedSize]:
    """{query set: size of predictions}, by what `verify` retrained, where it is known.

    scores: digest of what the scores were made of; those of others say nothing.
    """
    for folder in (run / "verify", run / "verify" / "decisions"):
        summary = (
            folder.read_json("verify.json") if folder.exists("verify.json") else {}
        )
        found = {
            name: facts.get("size") for name, facts in summary.get("sets", {}).items()
        }
        if summary.get("scores") == scores and any(found.values()):
            return {name: RetrainedSize(**size) for name, size in found.items() if size}
    return {}


def _sizes(
    trials: list[Trial],
    measured: dict[str, dict[str, float]],
    predicted: dict[str, float],
) -> dict[str, Any]:
    small = [trial for trial in trials if trial.kind != SUBSET]
    numbers: dict[Any, int] = {frozenset(): -1}
    edits = [
        numbers.setdefault(frozenset(trial.edits.items()), len(numbers))
        for trial in small
    ]
    columns = (
        np.array([predicted[trial.name] for trial in small]),
        np.array([measured[trial.name]["loss"] for trial in small]),
        np.array([trial.seed for trial in small]),
        np.array(edits),
    )
    size, others = size_of(*columns), left_out(*columns)
    return {"size": size and vars(size), "left_out": others and vars(others)}


def _within_0_and_1(interval: dict[str, float | None]) -> dict[str, float | None]:
    """The interval of a share, of which none is below 0 or above 1."""
    return {
        k: None if x is None else min(max(x, 0.0), 1.0) for k, x in interval.items()
    }


def _against_random(
    trials: list[Trial], measured: dict[str, dict[str, float]]
) -> dict[str, Any] | None:
    """{metric: mean and interval of decisions minus random edits}, paired by seed."""
    decided, drawn = (
        {trial.seed: measured[trial.name] for trial in trials if trial.kind == kind}
        for kind in (DECIDED, SAME_ON_RANDOM)
    )
    if not decided:
        return None
    return {
        metric: t_interval([decided[s][metric] - drawn[s][metric] for s in decided])
        for metric in METRICS
    }


def _agreement(
    trials: list[Trial],
    kind: str,
    measured: dict[str, dict[str, float]],
    predicted: dict[str, float],
) -> dict[str, Any] | None:
    """Spearman correlation of predicted with actual changes of the loss, over the
    trials of a kind; None with fewer than three."""
    names = [trial.name for trial in trials if trial.kind == kind]
    if len(names) < 3:
        return None
    (before,) = (
        measured[t.name]["loss"] for t in trials if t.kind == ALL and t.seed == 0
    )
    actual = [measured[name]["loss"] - before for name in names]
    expected = [predicted[name] for name in names]
    return {
        "spearman": float(spearmanr(expected, actual).statistic),
        "predicted": expected,
        "actual": actual,
    }
