"""A run and what is decided on its labels to a dataset, its log of changes and counts.

    <target>                 the rows, see trl_rows; or labels to review, review_items
    <stem>.decisions.csv     every decision that the rows follow, as a decisions.csv
    <stem>.counts.json       how many labels, by action, by labeler, by rule

The rows are written shard by shard: memory holds the numbers of all labels, and the
texts of one shard.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.data.decisions import Decisions, decisions_csv
from inflib.export.argilla import write_argilla
from inflib.export.chat_survey import look
from inflib.export.export_counts import about_run, counts_of
from inflib.export.label_studio import write_label_studio
from inflib.export.review_csv import write_review
from inflib.export.review_items import number_names, review_items
from inflib.export.row_format import row_format, schema
from inflib.export.row_verdicts import Ties
from inflib.export.selection import Selection
from inflib.export.target_files import new_file, write_rows
from inflib.export.targets import REVIEW_KINDS, Target
from inflib.export.trl_rows import Form, RowFormat, rows_of
from inflib.report.verdict import NOT_USABLE
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
        if verdict["status"] == NOT_USABLE and not anyway:
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
    counts = counts_of(run, selection, fmt) | {"form": form, "ties": options.ties}
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
    return about_run(run, selection) | {"labels": len(run.labels), "to_review": written}


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


def _write_beside(target: Target, decisions: Decisions, counts: dict[str, Any]) -> None:
    with new_file(target.decisions_file) as file:
        file.write(decisions_csv(decisions.values()).encode())
    folder, _, name = target.counts_file.rpartition("/")
    Folder(folder or ".").write_json(name, counts)
