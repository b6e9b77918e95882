"""A run and what is decided on its labels to a dataset, its log of changes and counts.

    <target>                 the rows, see trl_rows; or labels to review, review_items
    <stem>.decisions.csv     every decision that the rows follow, as a decisions.csv
    <stem>.counts.json       how many labels, by action, by labeler, by rule

The rows are written shard by shard: memory holds the numbers of all labels, and the
texts of one shard.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decisions, decisions_csv
from inflib.data.label_edits import KEEP
from inflib.data.output_columns import PAIR_ID
from inflib.export.argilla import write_argilla
from inflib.export.label_studio import write_label_studio
from inflib.export.review_items import number_names, review_items, write_review
from inflib.export.row_format import look, row_format, schema
from inflib.export.selection import LABELER, Selection
from inflib.export.targets import REVIEW_KINDS, Target, new_file, write_rows
from inflib.export.trl_rows import (
    NOT_DECIDED,
    Form,
    RowFormat,
    Ties,
    is_left_out,
    rows_of,
)
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class ExportOptions:
    """How a dataset is written."""

    form: Form | None = None
    """text or messages; None: as the data are."""

    ties: Ties = "drop"


def check_verdicts(run: AuditedRun, used: set[str], anyway: bool) -> None:
    """Raises ValueError where decisions depend on scores that cannot be used, but for
    anyway."""
    for query in sorted(used):
        verdict = run.verdicts[query]
        if verdict["status"] == "not usable" and not anyway:
            reason = verdict["reasons"][0] if verdict["reasons"] else ""
            raise ValueError(
                f"the scores on query set {query} are not usable ({reason}): export by "
                "other columns or by --decisions, or add --anyway"
            )


def export_dataset(
    run: AuditedRun, selection: Selection, target: Target, options: ExportOptions
) -> dict[str, Any]:
    """Write a dataset for training, the log of changes and the counts; returns the
    counts."""
    decisions = selection.decisions
    form, chats = look(run, options.form)
    fmt = row_format(run, decisions, form, chats, options.ties)
    counts = _counts(run, selection, fmt) | {"form": form, "ties": options.ties}
    if not counts["rows"]:
        raise ValueError("no label is left: nothing to export")
    written = _Counted()
    types = schema(run, fmt, chats)
    write_rows(target, written.count(_rows(run, decisions, fmt)), types)
    assert written.rows == counts["rows"], (written.rows, counts["rows"])
    counts["columns"] = types.names
    _write_beside(target, decisions, counts)
    return counts


def export_review(
    run: AuditedRun, selection: Selection, target: Target
) -> dict[str, Any]:
    """Write the selected labels for people to look at; returns the counts."""
    assert target.kind in REVIEW_KINDS
    if not selection.decisions:
        raise ValueError(
            "no label is selected for review: select some by --review RULE, --flip, "
            "--drop, --tie or --decisions"
        )
    items = review_items(run, selection.decisions)
    if target.kind == "csv":
        written = write_review(target.url, items, run)
    elif target.kind == "argilla":
        written = write_argilla(target.url, items, number_names(run))
    else:
        written = write_label_studio(target.url, items)
    return _about(run, selection) | {"labels": len(run.labels), "to_review": written}


class _Counted:
    """Counts rows on their way."""

    def __init__(self) -> None:
        self.rows = 0

    def count(
        self, rows: Iterator[list[dict[str, Any]]]
    ) -> Iterator[list[dict[str, Any]]]:
        for of_shard in rows:
            self.rows += len(of_shard)
            yield of_shard


def _rows(
    run: AuditedRun, decisions: Decisions, fmt: RowFormat
) -> Iterator[list[dict[str, Any]]]:
    for labels, comparisons in run.shards():
        yield list(rows_of(labels, comparisons, decisions, fmt))


def _about(run: AuditedRun, selection: Selection) -> dict[str, Any]:
    return {
        "run": run.folder.url,
        "digest": run.digest,
        "verdicts": run.verdicts,
        "rules": selection.matched,
    }


def _counts(run: AuditedRun, selection: Selection, fmt: RowFormat) -> dict[str, Any]:
    """How many labels there are before and after, by action and by labeler."""
    table, decisions = run.labels, selection.decisions
    actions: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    labelers: dict[str, Counter[str]] = {}
    names = [None] * len(table)
    if LABELER in table.column_names:
        names = table[LABELER].to_pylist()
    columns = [table[n].to_pylist() for n in (PAIR_ID.name, "target", "weight")]
    rows = 0
    for pair_id, target, weight, labeler in zip(*columns, names, strict=True):
        decision = decisions.get(pair_id, NOT_DECIDED)
        why = is_left_out(decision, target, weight, fmt.ties)
        of_label = 0 if why else 1
        if not why and (decision.action == "tie" or target == 0.5):
            of_label = 2
        rows += of_label
        actions[decision.action] += 1
        left_out[why] += bool(why)
        if labeler is not None:
            counts = labelers.setdefault(str(labeler), Counter())
            counts["labels"] += 1
            counts["rows"] += of_label
            if decision.action != KEEP:
                counts[decision.action] += 1
    return _about(run, selection) | {
        "labels": len(table),
        "rows": rows,
        "actions": dict(actions),
        "left_out": {why: n for why, n in left_out.items() if n},
        "labelers": {name: dict(labelers[name]) for name in sorted(labelers)},
    }


def _write_beside(target: Target, decisions: Decisions, counts: dict[str, Any]) -> None:
    with new_file(target.decisions_file) as file:
        file.write(decisions_csv(decisions.values()).encode())
    folder, _, name = target.counts_file.rpartition("/")
    Folder(folder or ".").write_json(name, counts)
