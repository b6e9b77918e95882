"""A CSV file to edits of labels (flip, drop, reweight), as what-ifs and retraining use
them."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from inflib.storage.folder import open_filesystem
from inflib.storage.plain_text import csv_cell

FLIP, DROP = "flip", "drop"


@dataclass(frozen=True)
class Edit:
    """What is done to a label."""

    action: str
    """flip, drop, reweight or keep."""

    weight: float
    """Factor of the label's weight: 0 for one that is dropped, 1 for others unless
    reweighted."""

    @property
    def sign(self) -> int:
        """Factor of the label's sign: -1 for a flip, otherwise 1."""
        return -1 if self.action == FLIP else 1


UNCHANGED = Edit("keep", 1.0)

Edits = dict[str, Edit]
"""{pair_id: edit of the label}; labels that are not named stay as they are."""


def read_edits(path: str) -> Edits:
    """The edits in a CSV file with the columns pair_id and action: flip, drop, or a
    factor of the label's weight (a number, 0 or more).

    Raises ValueError naming the file, the row and what is wrong with it.
    """
    fs, local = open_filesystem(path)
    if not fs.isfile(local):
        raise ValueError(f"{path}: no such file")
    text = fs.cat_file(local).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    if not {"pair_id", "action"} <= set(rows.fieldnames or []):
        raise ValueError(
            f"{path}: columns {rows.fieldnames or 'none'}; it needs pair_id and action "
            "(flip, drop or a new weight)"
        )
    edits: Edits = {}
    for number, row in enumerate(rows, start=2):
        pair_id, action = csv_cell(row["pair_id"] or ""), (row["action"] or "").strip()
        if pair_id in edits:
            raise ValueError(f"{path} row {number}: {pair_id!r} is edited twice")
        edits[pair_id] = _edit(action, f"{path} row {number}")
    if not edits:
        raise ValueError(f"{path}: no rows")
    return edits


def _edit(action: str, where: str) -> Edit:
    """The edit that an action stands for. where: file and row, for the error."""
    if action in (FLIP, DROP):
        return Edit(action, 0.0 if action == DROP else 1.0)
    try:
        weight = float(action)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < np.inf:
        raise ValueError(f"{where}: action {action!r} is not flip, drop or a weight")
    return Edit("reweight", weight)
