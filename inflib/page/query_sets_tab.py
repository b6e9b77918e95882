"""Query sets to what the page says of each: how far its scores can be trusted, and
which of its own labels look wrong."""

from typing import Any

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.page.charts import Chart, histogram, reliability_chart
from inflib.report.tables import percent
from inflib.storage.plain_text import printable

_LOWEST, _SHOWN = 10, 1500
"""Query labels that are listed, and characters of each text."""


def query_sets_tab(run: AuditedRun) -> tuple[list[dict[str, Any]], dict[str, Chart]]:
    """(what templates/query_sets.html.j2 shows, charts)."""
    shown, charts = [], {}
    for number, (query, facts) in enumerate(run.summary["queries"].items()):
        known, damping = facts["evidence"], facts["damping"]
        reliability = f"reliability-{number}"
        if damping:
            charts[reliability] = reliability_chart(
                query, damping, run.recipe.score.reliability
            )
        margins, lowest = _margins(run, query)
        charts[f"margins-{number}"] = _margins_chart(query, margins)
        accuracy = known["accuracy"]
        shown.append(
            {
                "name": query,
                **facts["verdict"],
                "accuracy": None
                if accuracy is None
                else percent(accuracy["share"], accuracy["low"], accuracy["high"]),
                "labels": len(margins),
                "best_scale": known["best_scale"],
                "reliability": known["reliability"],
                "needed": run.recipe.score.reliability,
                "explained_by_norm": known["explained_by_norm"],
                "chosen": {kind: choice["damping"] for kind, choice in damping.items()},
                "reliability_chart": reliability if damping else None,
                "margins_chart": f"margins-{number}",
                "lowest": lowest,
            }
        )
    return shown, charts


def _margins(run: AuditedRun, query: str) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """(margins of all query labels, those with the lowest, with their texts)."""
    margins: list[np.ndarray] = []
    lowest: list[dict[str, Any]] = []
    start = 0
    for table in run.query_labels(query):
        of_shard = table["margin"].to_numpy()
        margins.append(of_shard)
        finite = np.flatnonzero(np.isfinite(of_shard))
        first = finite[np.argsort(of_shard[finite], kind="stable")][:_LOWEST]
        for row, place in zip(table.take(first).to_pylist(), first, strict=True):
            lowest.append({name: _shown(value) for name, value in row.items()})
            lowest[-1]["row"] = start + int(place)
        start += len(table)
    lowest.sort(key=lambda row: row["margin"])
    wrong = [row for row in lowest[:_LOWEST] if row["margin"] < 0]
    return np.concatenate(margins) if margins else np.zeros(0), wrong


def _shown(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value, lines=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _margins_chart(query: str, margins: np.ndarray) -> Chart:
    finite = margins[np.isfinite(margins)]
    below = percent(float(np.mean(finite < 0))) if len(finite) else "0%"
    return histogram(
        f"margins of {query}",
        "margin of the better response, by the reward model",
        margins,
        f"{below} of the {len(finite):,} query labels have a margin below 0: the "
        "reward model prefers the response that the query label calls worse",
    )
