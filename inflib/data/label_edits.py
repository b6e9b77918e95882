"""Edits of labels: flip, drop, reweight. By hand in a CSV file, or made by `verify`."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from inflib.storage.folder import open_filesystem

FLIP, DROP = "flip", "drop"


@dataclass(frozen=True)
class Edit:
    """What becomes of a label."""

    action: str
    """flip, drop or reweight."""

    weight: float
    """Of the label from now on: 0 dropped, 1 as the others."""

    @property
    def sign(self) -> int:
        """What the label's sign is multiplied by."""
        return -1 if self.action == FLIP else 1


UNCHANGED = Edit("keep", 1.0)

Edits = dict[str, Edit]
"""By pair_id."""


def read_edits(path: str) -> Edits:
    """Edits from a CSV file with the columns pair_id and action: flip, drop, or the
    label's new weight (a number, 0 or more).

    Raises ValueError naming the file, its row and what is wrong.
    """
    fs, local = open_filesystem(path)
    text = fs.cat_file(local).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not {"pair_id", "action"} <= set(rows.fieldnames or []):
        raise ValueError(
            f"{path}: columns {rows.fieldnames}; needs pair_id and action (flip, drop "
            "or a new weight)"
        )
    found: Edits = {}
    for number, row in enumerate(rows, start=2):
        pair_id, action = row["pair_id"], (row["action"] or "").strip()
        if pair_id in found:
            raise ValueError(f"{path} row {number}: {pair_id!r} is edited twice")
        found[pair_id] = _edit(action, f"{path} row {number}")
    if not found:
        raise ValueError(f"{path}: no rows")
    return found


def _edit(action: str, where: str) -> Edit:
    if action in (FLIP, DROP):
        return Edit(action, 0.0 if action == DROP else 1.0)
    try:
        weight = float(action)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < np.inf:
        raise ValueError(f"{where}: action {action!r} is not flip, drop or a weight")
    return Edit("reweight", weight)
