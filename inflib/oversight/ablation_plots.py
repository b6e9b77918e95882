"""Figures of the oversight experiment as PNG files."""

from typing import Any

from inflib.report.plots import WIDE, figure, mean_and_range
from inflib.storage.folder import Folder

FIELDS = {
    "query labels": "query_size.png",
    "query labels, least squares": "query_size_least_squares.png",
    "share at either end": "extremes.png",
    "updates": "updates.png",
}
"""What is varied, and the figure that shows it."""

_FIGURES = ("label_accuracy", "cosine", "rm_accuracy")


def draw(folder: Folder, rows: list[dict[str, Any]]) -> None:
    """One figure for everything that is varied: outcomes over labelers and draws."""
    for field, name in FIELDS.items():
        own = [row for row in rows if row["field"] == field]
        with figure(folder, name, WIDE) as axes:
            for outcome in _FIGURES:
                groups: dict[float, list[float]] = {}
                for row in own:
                    if outcome in row:  # not every model is retrained
                        groups.setdefault(row["value"], []).append(row[outcome])
                if groups:
                    said = outcome.replace("rm_", "reward-model ").replace("_", " ")
                    places = sorted(groups)
                    mean_and_range(axes, places, [groups[p] for p in places], said)
            axes.set(xlabel=field, ylabel="mean and range over labelers, draws")
            if field.startswith("query labels"):
                axes.set_xscale("log")
            axes.legend(fontsize=7)
