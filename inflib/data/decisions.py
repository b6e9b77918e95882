"""decisions.csv: what people decided on labels, as the report's page writes it and
`what-if`, `export` and `verify` read it.

    pair_id     the label
    labeler     whose it is; may be empty
    action      keep, flip, drop, tie or weight
    value       factor of the label's weight, 0 or more, where the action is weight
    reason      why: a rule, or what flagged the label
    note        whatever a person wrote
    decided_by  who decided
    decided_at  when, ISO 8601 in UTC

The last row of a label wins, so that a file may be appended to. pair_id and action are
needed; a number as action is a weight.
"""

import csv
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields

import numpy as np

from inflib.data.label_edits import DROP, FLIP, KEEP, TIE, WEIGHT, Edit, Edits
from inflib.files.encodings import decoded, problem_in
from inflib.storage.folder import open_filesystem
from inflib.storage.plain_text import csv_cell, csv_text, shorten

csv.field_size_limit(sys.maxsize)  # a review.csv holds whole texts

ACTIONS = (KEEP, FLIP, DROP, TIE, WEIGHT)


@dataclass(frozen=True)
class Decision:
    """What was decided on one label: a row of decisions.csv."""

    pair_id: str
    labeler: str = ""
    action: str = KEEP
    value: float | None = None
    """Factor of the label's weight; None but for the action weight."""

    reason: str = ""
    note: str = ""
    decided_by: str = ""
    decided_at: str = ""

    @property
    def edit(self) -> Edit:
        """What it does to the label."""
        if self.action == WEIGHT:
            assert self.value is not None
            return Edit(WEIGHT, self.value)
        return Edit.of(self.action)


_DECIDED = ("action", "value")
_DELIMITERS = (",", ";", "\t")

COLUMNS = tuple(field.name for field in fields(Decision))

Decisions = dict[str, Decision]
"""{pair_id: the decision that counts}, in the order in which labels are first named."""


def edits_of(decisions: Decisions) -> Edits:
    """The edits that decisions are, without those that keep a label as it is."""
    return {
        pair_id: decision.edit
        for pair_id, decision in decisions.items()
        if decision.action != KEEP
    }


def decisions_csv(decisions: Iterable[Decision]) -> str:
    """decisions.csv, with cells that a spreadsheet would run made inert."""
    rows = [
        ["" if value is None else value for value in astuple(decision)]
        for decision in decisions
    ]
    return csv_text(COLUMNS, rows)


def read_edits(path: str) -> Edits:
    """The edits in a file of decisions, see `read_decisions`. Raises ValueError where
    it changes no label."""
    edits = edits_of(read_decisions(path))
    if not edits:
        raise ValueError(f"{path}: no label is changed, all are kept")
    return edits


def read_decisions(path: str, skip_open: bool = False) -> Decisions:
    """The decisions in a CSV file. Raises ValueError naming the file, the row and what
    is wrong with it.

    skip_open: leave out rows with neither action nor value, which are to be decided.
    """
    text, decisions = _text(path), Decisions()
    try:
        for number, row in enumerate(_rows(text, path), start=2):  # as spreadsheets do
            if skip_open and _is_open(row):
                continue
            if any(cell for cell in row.values()):
                decision = _decision(row, f"{path} row {number}")
                decisions[decision.pair_id] = decision
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None
    if not decisions and not skip_open:
        raise ValueError(f"{path}: no rows")
    return decisions


def open_labels(path: str) -> list[str]:
    """pair_ids in a CSV file of the rows with neither action nor value, which are to be
    decided. Raises ValueError for a file that is none."""
    try:
        rows = list(_rows(_text(path), path))
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None
    return [csv_cell(x["pair_id"]) for x in rows if x["pair_id"] and _is_open(x)]


def _is_open(row: dict[str, str | None]) -> bool:
    return not any((row.get(name) or "").strip() for name in _DECIDED)


def _text(path: str) -> str:
    fs, local = open_filesystem(path)
    if not fs.isfile(local):
        raise ValueError(f"{path}: no such file")
    text = decoded(io.BytesIO(fs.cat_file(local)), "utf-8", "").read()
    if problem_in(text, "utf-8"):
        raise ValueError(f"{path}: not UTF-8 text: save it as CSV in UTF-8")
    return text


def _rows(text: str, path: str) -> Iterator[dict[str, str | None]]:
    """The rows of a CSV text by column; spreadsheets of some countries part the cells
    by semicolons."""
    for delimiter in _DELIMITERS:
        first, every = (
            csv.reader(
                io.StringIO(text, newline=""), delimiter=delimiter, strict=strict
            )
            for strict in (False, True)
        )
        header = [name.strip() for name in next(first, [])]
        if {"pair_id", "action"} <= set(header):
            next(every)
            return (
                dict(itertools.zip_longest(header, x[: len(header)])) for x in every
            )
    line = text.partition("\n")[0].strip()
    raise ValueError(
        f"{path}: its first line is {shorten(line)!r}; it needs the columns pair_id "
        f"and action ({', '.join(ACTIONS)})"
    )


def _decision(row: dict[str, str | None], where: str) -> Decision:
    """One row's decision. where: file and row, for errors."""
    cells = {name: csv_cell((row.get(name) or "").strip()) for name in COLUMNS}
    # An id may begin or end with spaces: it is the label's name, whatever it is.
    pair_id = csv_cell(row["pair_id"] or "")
    if not pair_id:
        raise ValueError(f"{where}: no pair_id")
    action, value = cells["action"].lower(), cells["value"]
    if action not in ACTIONS:
        action, value = WEIGHT, cells["action"]
    weight = _factor(value) if action == WEIGHT else None
    if action == WEIGHT and weight is None:
        said = f"value {value!r}" if cells["action"].lower() == WEIGHT else ""
        said = said or f"action {cells['action']!r}"
        raise ValueError(
            f"{where}: {said} is not {', '.join(ACTIONS[:-1])} or a weight of 0 or more"
        )
    others = {name: cells[name] for name in COLUMNS[4:]}
    return Decision(pair_id, cells["labeler"], action, weight, **others)


def _factor(text: str) -> float | None:
    """The factor of a weight in a text; None where it is none."""
    try:
        factor = float(text)
    except ValueError:
        return None
    return factor if 0 <= factor < np.inf else None
