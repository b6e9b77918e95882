"""An audited run to what its page says first: how far to trust it, what hurts, and what
was audited with what."""

from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import yaml

from inflib.audited_run import AuditedRun
from inflib.data.label_edits import DROP, FLIP, Edit
from inflib.data.output_columns import PAIR_ID
from inflib.numerics.clustered_shares import clustered_share
from inflib.page.label_columns import group_names
from inflib.report.tables import percent, with_interval
from inflib.report.verdict import headline
from inflib.shapes.pairs import prompt_of

_PACKAGES = ("inflib", "torch", "transformers", "peft", "trl", "ray")
_MOST_GROUPS = 5


def overview(run: AuditedRun) -> dict[str, Any]:
    """What templates/overview.html.j2 shows."""
    summary = run.summary
    harmful = {query: run.surely_harmful(query) for query in run.queries}
    return {
        "headline": headline(run.verdicts),
        "queries": [
            {"name": query, **run.verdicts[query], **_share(run, query, harmful[query])}
            for query in run.queries
        ],
        "what_if": [
            row
            for query, labels in harmful.items()
            if labels is not None and labels.any()
            for row in what_ifs(run, query, labels)
        ],
        "whose": [
            row
            for query, labels in harmful.items()
            if labels is not None and labels.any()
            for row in _whose(run, query, labels)
        ],
        "accuracy": summary["accuracy"],
        "data": [*summary["notes"], *summary["data"]],
        "left_out": _left_out(summary),
        "stages": [
            {"name": name, **done, "rate": done["pairs"] / max(done["seconds"], 1e-9)}
            for name, done in summary["stages"].items()
        ],
        "audited": _audited(run),
        "versions": _versions(),
        "recipe": yaml.safe_dump(
            run.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        ),
    }


def _share(
    run: AuditedRun, query: str, harmful: np.ndarray | None
) -> dict[str, str | int | None]:
    """How many of the labels surely harm a query set, in words."""
    if harmful is None:
        return {"harmful": None, "share": None}
    counted = run.counted
    ids = run.labels["comparison_id"].filter(counted).to_pylist()
    prompts = np.array([prompt_of(name) for name in ids], dtype=str)
    found = clustered_share(harmful[counted], prompts) if len(ids) else None
    share = percent(found.share, found.low, found.high) if found else None
    return {"harmful": int(harmful.sum()), "share": share}


def what_ifs(run: AuditedRun, query: str, harmful: np.ndarray) -> list[dict[str, Any]]:
    """Rows of what the query losses would do if the labels were flipped, or dropped.

    No row of dropping them where none that counts would be left.
    """
    ids = run.labels[PAIR_ID.name].filter(harmful).to_pylist()
    rows = []
    for action in (FLIP,) if harmful[run.counted].all() else (FLIP, DROP):
        predicted = run.predicted(dict.fromkeys(ids, Edit.of(action)))
        changes = {}
        for row in predicted:
            if row["edits"] != "all":
                continue
            change, error = row["change_of_query_loss"], row["error"]
            low = high = None
            if error is not None:
                half = (run.errors_in_95(row["query"]) or 0.0) * error
                low, high = change - half, change + half
            changes[row["query"]] = with_interval(change, low, high)
        rows.append(
            {"action": action, "query": query, "labels": len(ids), "changes": changes}
        )
    return rows


def _whose(run: AuditedRun, query: str, harmful: np.ndarray) -> list[dict[str, Any]]:
    """Sentences' worth of who gave the harmful labels, by grouping column."""
    rows = []
    for column in run.recipe.report.groups:
        if column in run.labels.column_names:
            names = group_names(run.labels[column])
            counts, totals = Counter(np.array(names)[harmful].tolist()), Counter(names)
            first = counts.most_common(_MOST_GROUPS)
            groups = [
                {"name": name, "labels": count, "of": totals[name]}
                for name, count in first
            ]
            rest = len(counts) - len(first)
            rows.append(
                {"query": query, "column": column, "groups": groups, "rest": rest}
            )
    return rows


def _left_out(summary: dict[str, Any]) -> list[tuple[str, int]]:
    rows = [
        (f"training labels with {status}", count)
        for status, count in summary["not_counted"].items()
    ]
    for pairs, reasons in summary["excluded"].items():
        rows += [(f"{pairs} rows: {why}", count) for why, count in reasons.items()]
    return rows


def _audited(run: AuditedRun) -> list[tuple[str, str]]:
    """(what, its value) of what was audited with what."""
    recipe = run.recipe
    damping = ", ".join(
        f"{query} {facts['damping'][recipe.score.reported]['damping']:g}"
        for query, facts in run.summary["queries"].items()
        if recipe.score.reported in facts["damping"]
    )
    rows = [
        ("run", recipe.run),
        ("training labels", recipe.prepare.train.path),
        *(
            (f"query set {name}", source.path)
            for name, source in recipe.prepare.queries.items()
        ),
        ("base model", recipe.model.base),
        ("adapter", recipe.model.adapter or "trained by this run"),
        ("sketch size", f"{recipe.sketch.sketch_size:,}"),
        ("curvature", recipe.score.reported),
        ("damping by query set", damping or "none"),
        ("query loss", recipe.score.query_loss),
        ("false discovery rate", f"{recipe.report.fdr:g}"),
        ("digest of labels, sketches and settings", run.digest),
        ("digest of influence.parquet", run.scores_sha256),
    ]
    if run.adapter_sha256 is not None:
        rows.append(("digest of the adapter", run.adapter_sha256))
    return [(name, str(value)) for name, value in rows]


def _versions() -> dict[str, str]:
    """{package: its version}, of those that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
