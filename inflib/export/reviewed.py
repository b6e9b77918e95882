"""What a review came back with, from a CSV file, Label Studio or Argilla, to decisions.

Where several people answered for a label, the answer of most of them counts; where as
many say one thing as another, the label is left out: it needs another look.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from inflib.data.decisions import (
    ACTIONS,
    WEIGHT,
    Decision,
    Decisions,
    open_labels,
    read_decisions,
)
from inflib.export.review_answers import argilla_answers, label_studio_answers
from inflib.storage.folder import open_filesystem

SKIPPED = ("", "skip", "skipped")


@dataclass
class Reviewed:
    """Decisions of a review, and what is left of it."""

    source: str
    """"review.csv", "Label Studio" or "Argilla"."""

    decisions: Decisions = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    """pair_ids of labels that nobody decided on."""

    disagreed: list[str] = field(default_factory=list)
    """pair_ids of labels on which as many said one thing as another."""


def read_reviewed(path: str) -> Reviewed:
    """The decisions in what a review tool exported, or in a review.csv.

    Raises ValueError naming the file, the row and what is wrong with it.
    """
    fs, local = open_filesystem(path)
    if fs.isdir(local):  # Argilla's Dataset.to_disk
        path, local = f"{path.rstrip('/')}/records.json", f"{local}/records.json"
    if not fs.isfile(local):
        raise ValueError(f"{path}: no such file")
    data = fs.cat_file(local).removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] not in (b"[", b"{"):
        return _of_csv(path)
    try:
        rows = json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    rows = rows if isinstance(rows, list) else [rows]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: {_WANTED}")
    if "responses" in rows[0] and "fields" in rows[0]:
        ids = [row.get("id") for row in rows]
        return _of_answers(path, "Argilla", argilla_answers(rows), ids)
    if "annotations" in rows[0] or "annotation_id" in rows[0]:
        ids = [row.get("data", row).get("pair_id") for row in rows]
        return _of_answers(path, "Label Studio", label_studio_answers(rows), ids)
    raise ValueError(f"{path}: {_WANTED}")


_WANTED = (
    "it is read as a review.csv, Label Studio's export (JSON or JSON_MIN) or Argilla's "
    "(records.to_json, or the folder of to_disk), and is none of them"
)


def _of_csv(path: str) -> Reviewed:
    """Of a review.csv: rows with neither action nor value are still open."""
    decisions = read_decisions(path, skip_open=True)
    return Reviewed("review.csv", decisions, open_labels(path))


def _of_answers(
    path: str, source: str, answers: Iterator[dict[str, Any]], ids: list[Any]
) -> Reviewed:
    reviewed = Reviewed(source)
    by_label: dict[str, list[Decision]] = {}
    for number, answer in enumerate(answers, start=1):
        where = f"{path} answer {number}"
        if not isinstance(answer["pair_id"], str) or not answer["pair_id"]:
            raise ValueError(f"{where}: no pair_id: was it made by `inflib export`?")
        if answer["action"].strip().lower() not in SKIPPED:
            decision = _decision(answer, where)
            by_label.setdefault(decision.pair_id, []).append(decision)
    for pair_id, given in by_label.items():
        (most, count), *others = Counter(d.action for d in given).most_common()
        if others and others[0][1] == count:
            reviewed.disagreed.append(pair_id)
            continue
        same = [d for d in given if d.action == most]
        notes = "; ".join(dict.fromkeys(d.note for d in given if d.note))
        people = ", ".join(dict.fromkeys(d.decided_by for d in same if d.decided_by))
        last = max(d.decided_at for d in same)
        reviewed.decisions[pair_id] = Decision(
            pair_id, same[0].labeler, most, None, same[0].reason, notes, people, last
        )
    reviewed.open = [x for x in dict.fromkeys(ids) if x not in by_label]
    return reviewed


def _decision(answer: dict[str, Any], where: str) -> Decision:
    action = answer["action"].strip().lower()
    if action not in ACTIONS or action == WEIGHT:
        raise ValueError(
            f"{where}: action {answer['action']!r} is not "
            f"{', '.join(a for a in ACTIONS if a != WEIGHT)}"
        )
    facts = [str(answer[name]) for name in ("labeler", "reason", "note", "by", "at")]
    labeler, *others = facts
    return Decision(answer["pair_id"], labeler, action, None, *others)
