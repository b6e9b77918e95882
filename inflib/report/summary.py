"""Scores of a run to the facts of the report, summary.json.

Texts are shortened and stripped of control characters, and never evaluated.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from scipy.optimize import minimize_scalar

from inflib.config.recipe import Recipe
from inflib.config.score import ReportConfig
from inflib.data.output_columns import (
    ERROR,
    FLIP_EFFECT,
    GRADIENT_NORM,
    INFLUENCE,
    RANK,
    STATUS,
)
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.label_means import LabelMargins
from inflib.numerics.ranking import detection
from inflib.numerics.uncertainty import discoveries, query_freedom
from inflib.report.labelers import audit_groups, audit_preferences, small_groups
from inflib.report.trust import Accuracy, accuracy, norm_share, verdict
from inflib.scores.influence_folder import InfluenceFolder, truth_column
from inflib.scores.sketch_set import SketchSet
from inflib.shapes.pairs import prompt_of
from inflib.sketches.store import OK
from inflib.storage.folder import Folder

_FREEDOM_WHEN_KNOWN = 1_000_000
"""Degrees of freedom of a standard error that is known, not estimated."""

_LEAST_FREEDOM = 0.01
"""Degrees of freedom below which the query set's error cannot be estimated: all but one
of its groups hold next to no label."""

STAGES = {"prepare": "pairs", "train": "reward_model", "sketch": "sketches"}
"""{stage before scoring: its folder in the run}."""


def summarize(recipe: Recipe) -> dict[str, Any]:
    """All that the report says, as values for JSON.

    All numbers are of the labels whose gradient is finite and not zero; the others are
    counted under not_counted, and rows that prepare left out under excluded. Influence
    is in query loss per unit of training weight; positive is harmful.
    """
    run = Folder(recipe.run)
    influence = InfluenceFolder.of(run)
    table, (counted, _) = influence.table, influence.counted()
    statuses = table[STATUS.name].value_counts().to_pylist()
    prepared = (run / "pairs").read_json("report.json")
    margins = {
        pairs: SketchSet(run, pairs).chosen_margins()
        for pairs in recipe.prepare.sources
    }
    accuracies = {
        pairs: _accuracy(SketchSet(run, pairs)) for pairs in recipe.prepare.sources
    }
    summary: dict[str, Any] = {
        "run": run.url,
        "labels": len(counted),
        "not_counted": {
            status["values"]: status["counts"]
            for status in statuses
            if status["values"] != OK
        },
        "excluded": {
            pairs: prepared[pairs]["excluded"] for pairs in recipe.prepare.sources
        },
        "comparisons": len(pc.unique(counted["comparison_id"])),
        "accuracy": {pairs: round(m.accuracy, 4) for pairs, m in margins.items()},
        "curvature": recipe.score.reported,
        "preferences": audit_preferences(recipe.report, counted),
        "small_groups": small_groups(recipe.report, counted),
        "no_such_column": _missing(recipe, table),
        "queries": {},
        "stages": {
            stage: (run / folder).read_json("done.json")
            for stage, folder in STAGES.items()
            if (run / folder).exists("done.json")
        }
        | {"score": influence.stage_facts()},
    }
    for query in recipe.prepare.queries:
        score = f"{recipe.score.reported}_{query}"
        scores = counted[INFLUENCE.of(score)].to_numpy()
        shares = influence.shares(query)
        differ = _discoveries(recipe, table, score, shares)
        facts: dict[str, Any] = {
            "best_scale": round(best_scale(margins[query]), 3),
            "harmful_share": float(np.mean(scores > 0)),
            "distinguishable_from_zero": None if differ is None else int(differ.sum()),
            "damping": {
                kind: asdict(record.queries[query])
                for kind, record in influence.record.curvatures.items()
                if record.queries
            },
            "top": _top(run, recipe, table, score, differ),
        }
        facts["groups"] = audit_groups(
            recipe.report,
            counted,
            score,
            shares,
            summary["preferences"],
        )
        reported = influence.record.curvatures[recipe.score.reported].queries
        leaked = prepared[query].get("also_in_train", 0)
        facts["accuracy"] = asdict(accuracies[query])
        facts["verdict"] = verdict(
            accuracies[query],
            accuracies["train"],
            facts["best_scale"],
            not reported or reported[query].reliable,
            norm_share(scores, counted[GRADIENT_NORM.name].to_numpy()),
            leaked / max(1, prepared[query]["comparisons"]),
        )
        if recipe.report.truth is not None:
            facts["detection"] = _detection(recipe, counted, query)
        summary["queries"][query] = facts
    return summary


def best_scale(margins: LabelMargins) -> float:
    """Factor in [0, 10] on all margins for which their mean Bradley-Terry loss, with
    targets and weights but without required margins, is least.

    Above 1, the model is less sure than it is right, and whatever agrees with it helps;
    below 1, it is too sure, and influence says first of all what shrinks its margins.
    """
    return float(
        minimize_scalar(margins.scaled_loss, bounds=(0, 10), method="bounded").x
    )


def _missing(recipe: Recipe, table: pa.Table) -> list[str]:
    """Columns of report.groups that the data lacks: those that the recipe names, and
    the first, the labeler's, in any case."""
    usual = ReportConfig().groups
    return [
        name
        for name in recipe.report.groups
        if name not in table.column_names
        and (recipe.report.groups != usual or name == usual[0])
    ]


def _accuracy(sketches: SketchSet) -> Accuracy:
    """Accuracy on the labels of a pair set that count, ties left out."""
    rights: list[np.ndarray] = []
    prompts: list[str] = []
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        sides = (2 * labels.targets - 1).sign()
        picked = labels.counted & (sides != 0) & (labels.importance > 0)
        margins = labels.chosen_margins.margins
        rights.append((((margins.sign() * sides) + 1) / 2)[picked].numpy())
        ids = labels.table["comparison_id"].filter(pa.array(picked.numpy()))
        prompts += map(prompt_of, ids.to_pylist())
    return accuracy(np.concatenate(rights), np.array(prompts))


def _detection(
    recipe: Recipe, table: pa.Table, query: str
) -> dict[str, dict[str, float] | None]:
    """{detector: metrics of finding the labels that are wrong by the column
    report.truth}, see numerics.ranking.

    Each detector is oriented so that higher is more suspicious: influence, a longer
    chosen response (length difference), a low margin.
    """
    wrong = truth_column(table, recipe.report.truth, "report.truth")
    detectors = {
        f"influence_{kind}": table[INFLUENCE.of(kind, query)].to_numpy()
        for kind in recipe.score.score_names
    }
    detectors["length_difference"] = table["length_difference"].to_numpy()
    detectors["low_margin"] = -table["margin"].to_numpy()
    return {name: detection(values, wrong) for name, values in detectors.items()}


def _discoveries(
    recipe: Recipe, table: pa.Table, score: str, shares: np.ndarray
) -> np.ndarray | None:
    """Which labels' scores differ from zero at report.fdr; None where the query set is
    too small to tell: its labels are in one query group.

    shares: of the query labels in each query group.
    """
    freedom: float = _FREEDOM_WHEN_KNOWN
    if recipe.score.query_groups > 1:
        freedom = query_freedom(torch.from_numpy(shares))
    if freedom < _LEAST_FREEDOM:
        return None
    return discoveries(
        table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False),
        table[ERROR.of(score)].to_numpy(zero_copy_only=False),
        recipe.report.fdr,
        freedom,
    )


def _top(
    run: Folder, recipe: Recipe, table: pa.Table, score: str, differ: np.ndarray | None
) -> list[dict[str, Any]]:
    """Rows of the most harmful labels, with shortened texts.

    differ: which labels' scores differ from zero; None: not known.
    """
    ranks = table[RANK.of(score)].fill_null(0).to_numpy()
    places = [int(np.flatnonzero(ranks == i)[0]) for i in _first(ranks, recipe)]
    shards = PairsFolder(run / "pairs" / "train").plan()
    ends = np.cumsum([shard.num_labels for shard in shards])
    rows = []
    for place in places:
        label = table.slice(place, 1).to_pylist()[0]
        shard = shards[int(np.searchsorted(ends, place, side="right"))]
        text = PairsFolder(run / "pairs" / "train").texts(shard, label["comparison_id"])
        a, b = text["response_a"], text["response_b"]
        chosen, rejected = (a, b) if label["sign"] > 0 else (b, a)
        rows.append(
            {
                "pair_id": label["pair_id"],
                "labeler": label.get(next(iter(recipe.report.groups), "")),
                "influence": label[INFLUENCE.of(score)],
                "error": label[ERROR.of(score)],
                "differs_from_zero": differ is not None and bool(differ[place]),
                "flip_effect": label[FLIP_EFFECT.of(score)],
                "margin": label["margin"],
                "prompt": shorten(text["prompt"][-200:]),
                "chosen": shorten(chosen),
                "rejected": shorten(rejected),
            }
        )
    return rows


def _first(ranks: np.ndarray, recipe: Recipe) -> range:
    """The ranks that are listed, from 1; ranks are 0 where there is no score."""
    return range(1, 1 + min(recipe.report.top, int(ranks.max())))


def shorten(text: str, width: int = 60) -> str:
    """One printable line of at most `width` characters."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= width else line[: width - 1] + "…"
