"""Rows of ablations to the figures of the oversight experiment, PNG by matplotlib."""

from typing import Any

from inflib.report.plots import WIDE, figure, mean_and_range
from inflib.storage.folder import Folder

FIELDS = {
    "query labels": "query_size.png",
    "query labels, least squares": "query_size_least_squares.png",
    "share at either end": "extremes.png",
    "updates": "updates.png",
}
"""{field of an ablation's rows, which says what is varied: file of its figure}."""

_METRICS = ("label_accuracy", "cosine", "rm_accuracy")


def draw(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """Write a figure for each field of FIELDS: metrics of updated labels by its value,
    as mean and range over labelers and draws.

    rows: field, value and metrics, as by experiment.ablations.
    """
    for field, name in FIELDS.items():
        field_rows = [row for row in rows if row["field"] == field]
        with figure(folder, name, WIDE) as axes:
            for metric in _METRICS:
                by_value: dict[float, list[float]] = {}
                for row in field_rows:
                    if metric in row:  # not every model is retrained
                        by_value.setdefault(row["value"], []).append(row[metric])
                if by_value:
                    label = metric.replace("rm_", "reward-model ").replace("_", " ")
                    places = sorted(by_value)
                    mean_and_range(axes, places, [by_value[p] for p in places], label)
            axes.set(xlabel=field, ylabel="mean and range over labelers, draws")
            if field.startswith("query labels"):
                axes.set_xscale("log")
            axes.legend(fontsize=7)
