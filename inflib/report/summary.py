"""Scores of a run to the facts of the report, summary.json.

Texts are shortened and stripped of control characters, and never evaluated.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.config.recipe import Recipe
from inflib.data.findings import findings
from inflib.data.output_columns import (
    CROSSFIT_MARGIN,
    ERROR,
    FLIP_EFFECT,
    INFLUENCE,
    PAIR_ID,
    RANK,
    STATUS,
)
from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.ranking import detection
from inflib.report.evidence import Judged, evidence
from inflib.report.labeler_quality import audit_quality, without_fair_margins
from inflib.report.labelers import (
    audit_groups,
    audit_preferences,
    missing_groups,
    small_groups,
)
from inflib.report.verdict import NOT_USABLE, judge_query_set
from inflib.scores.discoveries import differing_labels
from inflib.scores.fair_margins import FairMargins, fair_margins
from inflib.scores.influence_folder import InfluenceFolder, truth_column
from inflib.sketches.store import OK
from inflib.storage.folder import Folder
from inflib.storage.plain_text import shorten

FORMAT = 6
"""Version of the facts in summary.json; one of another version is written anew."""

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
    fair, why_not = fair_margins(recipe)
    table, (counted, _) = influence.table, influence.counted()
    counted = _with_fair_margins(counted, fair)
    statuses = table[STATUS.name].value_counts().to_pylist()
    prepared = (run / "pairs").read_json("report.json")
    judged = {pairs: Judged.of(run, pairs) for pairs in recipe.prepare.sources}
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
        "accuracy": {k: round(x.means.accuracy, 4) for k, x in judged.items()},
        "curvature": recipe.score.reported,
        "notes": missing_groups(recipe.report, counted),
        "data": [
            line
            for pairs in recipe.prepare.sources
            for line in findings(pairs, prepared[pairs])
        ],
        "min_labels": recipe.report.min_labels,
        "fdr": recipe.report.fdr,
        "small_groups": small_groups(recipe.report, counted),
        "preferences": audit_preferences(recipe.report, counted),
        "queries": {},
        "stages": {
            stage: (run / folder).read_json("done.json")
            for stage, folder in STAGES.items()
            if (run / folder).exists("done.json")
        }
        | {"score": influence.stage_facts()},
    }
    score_of = {q: f"{recipe.score.reported}_{q}" for q in recipe.prepare.queries}
    known = {
        query: evidence(judged[query], judged["train"], counted, score, prepared[query])
        for query, score in score_of.items()
    }
    verdicts = {query: judge_query_set(known[query], recipe) for query in score_of}
    summary["quality"] = audit_quality(
        recipe.report,
        counted,
        [score_of[q] for q in score_of if verdicts[q]["status"] != NOT_USABLE],
        np.zeros(0) if fair is None else fair.trusted(recipe),
    )
    if summary["quality"] and fair is None:
        summary["notes"].append(without_fair_margins(why_not))
    for query, score in score_of.items():
        scores = counted[INFLUENCE.of(score)].to_numpy()
        differ = differing_labels(recipe, influence, query)
        facts: dict[str, Any] = {
            "verdict": verdicts[query],
            "evidence": known[query],
            "harmful_share": float(np.mean(scores > 0)),
            "distinguishable_from_zero": None if differ is None else int(differ.sum()),
            "surely_harmful": None if differ is None else _surely(table, score, differ),
            "damping": {
                kind: asdict(record.queries[query])
                for kind, record in influence.record.curvatures.items()
                if record.queries
            },
            "top": _top(run, recipe, table, score, differ),
        }
        facts |= audit_groups(
            recipe.report,
            counted,
            score,
            influence.shares(query),
            summary["preferences"],
            summary["quality"],
        )
        if facts["verdict"]["status"] == NOT_USABLE:
            facts["groups"] = {
                column: [row | {"harmful": False} for row in rows]
                for column, rows in facts["groups"].items()
            }
        if recipe.report.truth is not None:
            facts["detection"] = _detection(recipe, counted, query)
        summary["queries"][query] = facts
    return summary


def _with_fair_margins(table: pa.Table, fair: FairMargins | None) -> pa.Table:
    """The rows with the column crossfit_margin, where the run has fair margins. An own
    column of that name, in a run that was prepared before the name was ours, goes."""
    if CROSSFIT_MARGIN.name in table.column_names:
        table = table.drop_columns([CROSSFIT_MARGIN.name])
    if fair is None:
        return table
    values = fair.of(table[PAIR_ID.name].to_pylist())
    return table.append_column(CROSSFIT_MARGIN.name, pa.array(values))


def _surely(table: pa.Table, score: str, differ: np.ndarray) -> int:
    """Number of labels whose influence differs from zero, and is harmful."""
    scores = table[INFLUENCE.of(score)].to_numpy(zero_copy_only=False)
    return int((differ & (scores > 0)).sum())


def _detection(
    recipe: Recipe, table: pa.Table, query: str
) -> dict[str, dict[str, float] | None]:
    """{detector: metrics of finding the labels that are wrong by the column
    report.truth}, see numerics.ranking.

    Each detector is oriented so that higher is more suspicious: influence, a longer
    chosen response (length difference), a low margin, a low fair margin.
    """
    wrong = truth_column(table, recipe.report.truth, "report.truth")
    detectors = {
        f"influence_{kind}": table[INFLUENCE.of(kind, query)].to_numpy()
        for kind in recipe.score.score_names
    }
    detectors["length_difference"] = table["length_difference"].to_numpy()
    detectors["low_margin"] = -table["margin"].to_numpy()
    if CROSSFIT_MARGIN.name in table.column_names:
        fair = np.nan_to_num(table[CROSSFIT_MARGIN.name].to_numpy())
        detectors["low_crossfit_margin"] = -fair
    return {name: detection(values, wrong) for name, values in detectors.items()}


def _top(
    run: Folder,
    recipe: Recipe,
    table: pa.Table,
    score: str,
    differ: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Rows of the most harmful labels, with shortened texts.

    differ: which labels' scores differ from zero, None where that is not known.
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
                "differs_from_zero": None if differ is None else bool(differ[place]),
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
