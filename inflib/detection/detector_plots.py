"""Scores and metrics of detectors to the bias study's figures, PNG by matplotlib."""

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
    """Write roc_<query>.png, with judges as points, and pr_<query>.png (precision over
    recall) of one query set.

    wrong: [n] which labels are wrong; judges: detector_table.judge_points.
    """
    curves = {name: ranking.curve(values, wrong) for name, values in scores.items()}
    with figure(folder, f"roc_{query}.png", SQUARE) as axes:
        for name, (true, false) in curves.items():
            hit, alarm = true / true[-1], false / false[-1]
            auc = np.trapezoid(np.r_[0, hit], np.r_[0, alarm])
            axes.plot(np.r_[0, alarm], np.r_[0, hit], label=f"{_words(name)} {auc:.3f}")
        for judge, rates in judges.items():
            point = rates["false_positive_rate"], rates["true_positive_rate"]
            axes.plot(*point, "k*")
            offset = {"xytext": (5, -2), "textcoords": "offset points"}
            axes.annotate(judge, point, fontsize=7, **offset)
        axes.plot([0, 1], [0, 1], ":", color="#999999", label="chance 0.5")
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        axes.set_title(f"Planted labels found, query set {query} (AUC)", fontsize=10)
        axes.legend(fontsize=7, loc="lower right")
    with figure(folder, f"pr_{query}.png", SQUARE) as axes:
        for name, (true, false) in curves.items():
            axes.plot(true / true[-1], true / (true + false), label=_words(name))
        axes.axhline(wrong.mean(), ls=":", color="#999999", label="chance")
        axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
        axes.set_title(f"Planted labels found, query set {query}", fontsize=10)
        axes.legend(fontsize=7)


def draw_query_sets(folder: Folder, table: dict[str, Any], names: list[str]) -> None:
    """Write query_sets.png: AUC with 95% bootstrap intervals by query set.

    table: {query set: detector_table.detection_metrics}; names: the detectors drawn.
    """
    with figure(folder, "query_sets.png", WIDE) as axes:
        for i, name in enumerate(names):
            rows = [detectors[name] for detectors in table.values()]
            places = np.arange(len(rows)) + (i - len(names) / 2) * 0.08
            aucs = [row["auc"] for row in rows]
            errors = [
                [row["auc"] - row["auc_low"] for row in rows],
                [row["auc_high"] - row["auc"] for row in rows],
            ]
            axes.errorbar(places, aucs, errors, fmt="o", capsize=2, label=_words(name))
        axes.set_xticks(range(len(table)), list(table))
        axes.axhline(0.5, ls=":", color="#999999")
        axes.set(xlabel="query set", ylabel="AUC")
        axes.legend(fontsize=7)


def draw_sizes(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """Write query_size.png: AUC by the number of query labels, one line per query set.

    rows: query, size and auc of each random subset of a query set.
    """
    with figure(folder, "query_size.png", WIDE) as axes:
        for query in dict.fromkeys(row["query"] for row in rows):
            draws = [row for row in rows if row["query"] == query]
            sizes = sorted({row["size"] for row in draws})
            aucs = [[r["auc"] for r in draws if r["size"] == size] for size in sizes]
            mean_and_range(axes, sizes, aucs, query)
        axes.axhline(0.5, ls=":", color="#999999")
        axes.set(xscale="log", xlabel="query labels", ylabel="AUC (mean, range)")
        axes.legend(fontsize=7)


def draw_ablations(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """Write ablation_<field>.png for every recipe field varied: AUC by its values.

    rows: field, value, query, detector and auc.
    """
    for field in dict.fromkeys(row["field"] for row in rows):
        runs = [row for row in rows if row["field"] == field]
        values = list(dict.fromkeys(str(row["value"]) for row in runs))
        with figure(folder, f"ablation_{field}.png", WIDE) as axes:
            for query in dict.fromkeys(row["query"] for row in runs):
                for kind in dict.fromkeys(row["detector"] for row in runs):
                    line = [
                        r for r in runs if (r["query"], r["detector"]) == (query, kind)
                    ]
                    label = f"{_words(kind)}, {query}"
                    places = [values.index(str(row["value"])) for row in line]
                    axes.plot(places, [r["auc"] for r in line], "o-", label=label)
            axes.set_xticks(range(len(values)), values)
            axes.set(xlabel=field, ylabel="AUC")
            axes.legend(fontsize=6)


def _words(name: str) -> str:
    return name.replace("_", " ")
