"""Numbers to charts: what report/data/facts.js says, and what the page's script draws.

All series of a chart have the same x; a value that one lacks is null. summary is what a
screen reader says of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inflib.numerics.ranking import curve

Chart = dict[str, Any]

_POINTS, _BINS = 101, 30


def chart(
    kind: str,
    title: str,
    x: tuple[str, Sequence[Any]],
    y: str,
    series: list[dict[str, Any]],
    summary: str,
    log: bool = False,
    diagonal: bool = False,
) -> Chart:
    """kind: lines, points or bars; x: (label, values); y: label; series: label, values,
    and low and high where there are intervals."""
    return {
        "kind": kind,
        "title": title,
        "x": {"label": x[0], "values": list(x[1]), "log": log},
        "y": {"label": y},
        "series": [{"low": None, "high": None} | each for each in series],
        "diagonal": diagonal,
        "summary": summary,
    }


def histogram(title: str, label: str, values: np.ndarray, summary: str) -> Chart:
    """Counts of finite values in bins of equal width."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=_BINS if len(finite) else 1)
    middles = [float(f"{x:.3g}") for x in (edges[1:] + edges[:-1]) / 2]
    series = [{"label": "labels", "values": counts.tolist()}]
    return chart("lines", title, (label, middles), "labels", series, summary)


def reliability_chart(
    query: str, damping: Mapping[str, Mapping[str, Any]], needed: float
) -> Chart:
    """Reliability over damping. damping: {curvature: Choice, as a dict} of the query
    set."""
    first = next(iter(damping.values()))
    dampings = [row["damping"] for row in first["sweep"]]
    series = [
        {"label": kind, "values": [row["reliability"] for row in choice["sweep"]]}
        for kind, choice in damping.items()
    ]
    series.append({"label": "needed", "values": [needed] * len(dampings)})
    summary = "; ".join(
        f"{kind} is scored with damping {choice['damping']:g}, where its reliability "
        f"is {choice['reliability']:.2f}"
        for kind, choice in damping.items()
    )
    return chart(
        "lines",
        f"reliability of the scores on {query} over damping",
        ("damping, relative to the trace of H", dampings),
        "reliability",
        series,
        f"{summary}; {needed:g} is needed",
        log=True,
    )


def detection_charts(
    query: str, detectors: Mapping[str, np.ndarray], wrong: np.ndarray
) -> tuple[Chart, Chart]:
    """(ROC, precision over recall) of finding labels that are known to be wrong.

    detectors: scores that are finite, higher where a label is more suspicious.
    """
    grid = np.linspace(0, 1, _POINTS)
    rates, precisions = [], []
    for name, scores in detectors.items():
        positives, negatives = curve(scores, wrong)
        false = negatives / max(1, negatives[-1])
        found = positives / max(1, positives[-1])
        last = np.searchsorted(false, grid, side="right") - 1
        rate = np.where(last >= 0, found[np.maximum(last, 0)], 0.0)
        rates.append({"label": name, "values": rate.tolist()})
        first = np.minimum(np.searchsorted(found, grid), len(found) - 1)
        precision = positives[first] / np.maximum(
            positives[first] + negatives[first], 1
        )
        precisions.append({"label": name, "values": precision.tolist()})
    known = f"the {int(wrong.sum()):,} labels that are known to be wrong"
    roc = chart(
        "lines",
        f"finding {known}, by scores on {query}",
        ("share of the right labels that are flagged too", grid.tolist()),
        "share of the wrong ones found",
        rates,
        f"ROC curves of {len(rates)} ways of finding {known}; the table below it has "
        "the areas under them",
        diagonal=True,
    )
    recall = chart(
        "lines",
        f"precision, by scores on {query}",
        ("share of the wrong labels found", grid.tolist()),
        "share of the flagged that are wrong",
        precisions,
        f"precision over recall of {len(rates)} ways of finding {known}",
    )
    return roc, recall


def interval_bars(
    title: str, y: str, rows: Sequence[tuple[str, float, Any, Any]], summary: str
) -> Chart:
    """A bar for each (name, value, low, high)."""
    names, values, low, high = zip(*rows, strict=True)
    series = {"label": y, "values": list(values), "low": list(low), "high": list(high)}
    return chart("bars", title, ("", names), y, [series], summary)


def points(
    title: str,
    x: str,
    y: str,
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    summary: str,
) -> Chart:
    """Points of several groups, {name: (x, y)}, with the diagonal."""
    xs = [value for of_group, _ in groups.values() for value in of_group]
    series, start = [], 0
    for name, (of_group, values) in groups.items():
        column: list[float | None] = [None] * len(xs)
        column[start : start + len(of_group)] = values
        series.append({"label": name, "values": column})
        start += len(of_group)
    return chart("points", title, (x, xs), y, series, summary, diagonal=True)
