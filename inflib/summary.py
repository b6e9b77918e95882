"""The report: facts for summary.json, tables for the terminal.

Texts are shortened, never evaluated, and stripped of control characters.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.metrics import auc
from inflib.pairs_folder import PairsFolder
from inflib.scoring import read_labels
from inflib.store import OK

STAGES = {
    "prepare": "pairs",
    "train": "reward_model",
    "sketch": "sketches",
    "score": "influence",
}


def summarize(recipe: Recipe) -> dict[str, Any]:
    """All that the report says, as plain values.

    All figures are of the labels whose gradient is finite and not zero; the others are
    counted under not_counted, and rows that prepare left out under excluded. Influence
    is in units of query loss per unit of training weight; positive is harmful.
    """
    run = Folder(recipe.run)
    table = (run / "influence").read_table("influence.parquet")
    counted = table.filter(pc.field("status") == OK)
    statuses = table["status"].value_counts().to_pylist()
    prepared = (run / "pairs").read_json("report.json")
    summary: dict[str, Any] = {
        "run": run.url,
        "labels": len(counted),
        "not_counted": {
            found["values"]: found["counts"]
            for found in statuses
            if found["values"] != OK
        },
        "excluded": {
            pairs: prepared[pairs]["excluded"] for pairs in recipe.prepare.sources
        },
        "comparisons": len(pc.unique(counted["comparison_id"])),
        "accuracy": {
            pairs: round(accuracy(run, pairs), 4) for pairs in recipe.prepare.sources
        },
        "curvature": recipe.score.curvatures[0],
        "queries": {},
        "stages": {
            stage: (run / folder).read_json("done.json")
            for stage, folder in STAGES.items()
            if (run / folder).exists("done.json")
        },
    }
    for query in recipe.prepare.queries:
        column = f"{recipe.score.curvatures[0]}_{query}"
        scores = counted[f"influence_{column}"].to_numpy()
        found: dict[str, Any] = {
            "harmful_share": float(np.mean(scores > 0)),
            "top": _top(run, recipe, table, column),
        }
        if recipe.report.labeler in counted.column_names:
            found["labelers"] = labelers(counted[recipe.report.labeler], scores)
        if recipe.report.truth is not None:
            found["detection"] = _detection(recipe, counted, query)
        summary["queries"][query] = found
    return summary


def accuracy(run: Folder, pairs: str) -> float:
    """Share of labels whose chosen response the reward model prefers; ties 1/2."""
    right, count = 0.0, 0
    for shard in PairsFolder(run / "pairs" / pairs).plan():
        labels = read_labels(run, pairs, shard)
        margins = (labels.signs * labels.margins)[labels.counted]
        right += float((margins > 0).sum() + (margins == 0).sum() / 2)
        count += len(margins)
    return right / max(1, count)


def labelers(names: pa.ChunkedArray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Labelers by mean influence of their labels, most harmful first."""
    table = pa.table({"labeler": names, "influence": scores, "harmful": scores > 0})
    groups = table.group_by("labeler").aggregate(
        [("influence", "mean"), ("harmful", "mean"), ("influence", "count")]
    )
    found = [
        {
            "labeler": row["labeler"],
            "labels": row["influence_count"],
            "harmful_share": row["harmful_mean"],
            "mean_influence": row["influence_mean"],
        }
        for row in groups.to_pylist()
    ]
    return sorted(found, key=lambda row: -row["mean_influence"])


def _detection(recipe: Recipe, table: pa.Table, query: str) -> dict[str, float | None]:
    """AUC of finding the labels that the truth column calls wrong.

    Each detector is oriented so that higher is more suspicious: influence, a longer
    chosen response (length difference), a low margin.
    """
    name = recipe.report.truth
    if name not in table.column_names or not pa.types.is_boolean(table[name].type):
        raise ValueError(
            f"report.truth {name!r} is not a boolean column of the data; it has "
            f"{table.column_names}"
        )
    wrong = table[name].fill_null(False).to_numpy()
    detectors = {
        f"influence_{kind}": table[f"influence_{kind}_{query}"].to_numpy()
        for kind in recipe.score.curvatures
    }
    detectors["length_difference"] = table["length_difference"].to_numpy()
    detectors["low_margin"] = -table["margin"].to_numpy()
    return {name: auc(values, wrong) for name, values in detectors.items()}


def _top(
    run: Folder, recipe: Recipe, table: pa.Table, column: str
) -> list[dict[str, Any]]:
    """The most harmful labels, with shortened texts."""
    places = table[f"rank_{column}"].fill_null(0).to_numpy()
    rows = [int(np.flatnonzero(places == i)[0]) for i in _first(places, recipe)]
    shards = PairsFolder(run / "pairs" / "train").plan()
    ends = np.cumsum([shard.num_labels for shard in shards])
    found = []
    for row in rows:
        label = table.slice(row, 1).to_pylist()[0]
        shard = shards[int(np.searchsorted(ends, row, side="right"))]
        texts = PairsFolder(run / "pairs" / "train").comparisons(
            shard, ["comparison_id", "prompt", "response_a", "response_b"]
        )
        texts = texts.filter(pc.field("comparison_id") == label["comparison_id"])
        text = texts.to_pylist()[0]
        a, b = text["response_a"], text["response_b"]
        chosen, rejected = (a, b) if label["sign"] > 0 else (b, a)
        found.append(
            {
                "pair_id": label["pair_id"],
                "labeler": label.get(recipe.report.labeler),
                "influence": label[f"influence_{column}"],
                "flip_effect": label[f"flip_effect_{column}"],
                "margin": label["margin"],
                "prompt": shorten(text["prompt"][-200:]),
                "chosen": shorten(chosen),
                "rejected": shorten(rejected),
            }
        )
    return found


def _first(places: np.ndarray, recipe: Recipe) -> range:
    return range(1, 1 + min(recipe.report.top, int(places.max())))


def shorten(text: str, width: int = 60) -> str:
    """One printable line of at most `width` characters."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the summary."""
    console.print(
        f"\n{summary['labels']} labels on {summary['comparisons']} comparisons; "
        "reward-model accuracy "
        + ", ".join(f"{k} {v:.3f}" for k, v in summary["accuracy"].items()),
        markup=False,
    )
    left_out = {
        f"training labels with {k}": v for k, v in summary["not_counted"].items()
    }
    for pairs, reasons in summary["excluded"].items():
        left_out |= {f"{pairs} rows, {why}": n for why, n in reasons.items()}
    if left_out:
        rows = [{"left out": why, "count": n} for why, n in left_out.items()]
        console.print(_table(rows, "not in any figure"))
    for query, found in summary["queries"].items():
        console.print(
            f"\nQuery set {query} ({summary['curvature']}): "
            f"{found['harmful_share']:.1%} of the labels are harmful",
            markup=False,
        )
        top = [
            {
                name: shorten(value, 30) if isinstance(value, str) else value
                for name, value in row.items()
                if name not in ("flip_effect", "margin")
            }
            for row in found["top"]
        ]
        console.print(_table(top, "most harmful labels"))
        if "labelers" in found:
            console.print(
                _table(found["labelers"][:20], "labelers, most harmful first")
            )
        if "detection" in found:
            rows = [{"detector": k, "AUC": v} for k, v in found["detection"].items()]
            console.print(_table(rows, "finding the labels known to be wrong"))
    rows = [
        {
            "stage": stage,
            "seconds": facts["seconds"],
            "pairs": facts["pairs"],
            "pairs/s": facts["pairs"] / facts["seconds"],
            "bytes": facts["bytes"],
        }
        for stage, facts in summary["stages"].items()
    ]
    console.print(_table(rows, "stages (the run that completed each)"))


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        number = isinstance(rows[0][name], int | float)
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=10 if number else 6,
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row.values()])
    return table


def _cell(value: Any) -> Any:
    from rich.text import Text

    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return Text(str(value))  # Text: preference text is never markup
