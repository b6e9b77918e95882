"""Figures of the bias study as PNG files, by matplotlib."""

from typing import Any

import numpy as np

from inflib.detection.detector_table import Scores
from inflib.numerics import ranking
from inflib.report.plots import SQUARE, WIDE, figure, mean_and_range
from inflib.storage.folder import Folder


def draw_curves(
    folder: Folder,
    query: str,
    scores: Scores,
    wrong: np.ndarray,
    judges: dict[str, dict[str, Any]],
) -> None:
    """roc_<query>.png, with judges as points, and pr_<query>.png."""
    curves = {name: ranking.curve(values, wrong) for name, values in scores.items()}
    with figure(folder, f"roc_{query}.png", SQUARE) as axes:
        for name, (true, false) in curves.items():
            hit, alarm = true / true[-1], false / false[-1]
            auc = np.trapezoid(np.r_[0, hit], np.r_[0, alarm])
            axes.plot(np.r_[0, alarm], np.r_[0, hit], label=f"{_said(name)} {auc:.3f}")
        for judge, at in judges.items():
            place = at["false_positive_rate"], at["true_positive_rate"]
            axes.plot(*place, "k*")
            beside = {"xytext": (5, -2), "textcoords": "offset points"}
            axes.annotate(judge, place, fontsize=7, **beside)
        axes.plot([0, 1], [0, 1], ":", color="#999999", label="chance 0.5")
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        axes.set_title(f"Planted labels found, query set {query} (AUC)", fontsize=10)
        axes.legend(fontsize=7, loc="lower right")
    with figure(folder, f"pr_{query}.png", SQUARE) as axes:
        for name, (true, false) in curves.items():
            axes.plot(true / true[-1], true / (true + false), label=_said(name))
        axes.axhline(wrong.mean(), ls=":", color="#999999", label="chance")
        axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
        axes.set_title(f"Planted labels found, query set {query}", fontsize=10)
        axes.legend(fontsize=7)


def draw_query_sets(folder: Folder, table: dict[str, Any], names: list[str]) -> None:
    """query_sets.png: AUC with 95% intervals by query set."""
    with figure(folder, "query_sets.png", WIDE) as axes:
        for i, name in enumerate(names):
            rows = [found[name] for found in table.values()]
            places = np.arange(len(rows)) + (i - len(names) / 2) * 0.08
            middle = [row["auc"] for row in rows]
            spread = [
                [row["auc"] - row["auc_low"] for row in rows],
                [row["auc_high"] - row["auc"] for row in rows],
            ]
            axes.errorbar(places, middle, spread, fmt="o", capsize=2, label=_said(name))
        axes.set_xticks(range(len(table)), list(table))
        axes.axhline(0.5, ls=":", color="#999999")
        axes.set(xlabel="query set", ylabel="AUC")
        axes.legend(fontsize=7)


def draw_sizes(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """query_size.png: AUC by the number of query labels, one line per query set."""
    with figure(folder, "query_size.png", WIDE) as axes:
        for query in dict.fromkeys(row["query"] for row in rows):
            own = [row for row in rows if row["query"] == query]
            sizes = sorted({row["size"] for row in own})
            values = [[r["auc"] for r in own if r["size"] == size] for size in sizes]
            mean_and_range(axes, sizes, values, query)
        axes.axhline(0.5, ls=":", color="#999999")
        axes.set(xscale="log", xlabel="query labels", ylabel="AUC (mean, range)")
        axes.legend(fontsize=7)


def draw_ablations(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """ablation_<field>.png: AUC by the values of a recipe field."""
    for field in dict.fromkeys(row["field"] for row in rows):
        own = [row for row in rows if row["field"] == field]
        values = list(dict.fromkeys(str(row["value"]) for row in own))
        with figure(folder, f"ablation_{field}.png", WIDE) as axes:
            for query in dict.fromkeys(row["query"] for row in own):
                for kind in dict.fromkeys(row["detector"] for row in own):
                    some = [
                        r for r in own if (r["query"], r["detector"]) == (query, kind)
                    ]
                    label = f"{_said(kind)}, {query}"
                    places = [values.index(str(row["value"])) for row in some]
                    axes.plot(places, [r["auc"] for r in some], "o-", label=label)
            axes.set_xticks(range(len(values)), values)
            axes.set(xlabel=field, ylabel="AUC")
            axes.legend(fontsize=6)


def _said(name: str) -> str:
    return name.replace("_", " ")
