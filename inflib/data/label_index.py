"""Counts over all rows of a pair set: duplicates, kept columns, the data report.

Holds 41 bytes per label, never text.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.data.row_schema import BAD, OUTSIDE, USED

COLUMNS = [
    "state",
    "file",
    "file_row",
    "problem",
    "pair_id",
    "comparison_id",
    "sign",
    "length",
    "length_difference",
    "num_cut",
    "kinds",
]
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 2**31)
"""Bounds of the token histogram: tokens of a comparison's longer sequence."""
_LABEL = np.dtype(
    [
        ("pair", "u8"),
        ("comparison", "u8"),
        ("row", "i8"),
        ("file", "i4"),
        ("length", "i4"),
        ("length_difference", "i4"),
        ("num_cut", "i4"),
        ("sign", "i1"),
    ]
)


@dataclass(frozen=True)
class LabelKeys:
    """Labels by 64-bit hashes of their ids; arrays of one entry per label."""

    pair: np.ndarray
    comparison: np.ndarray
    file: np.ndarray
    row: np.ndarray
    sign: np.ndarray


class LabelIndex:
    """Feed it every batch of rows, then ask."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.kinds: set[str] = set()
        self.unused: list[dict[str, Any]] = []
        """Rows that are neither used nor outside: file, row, problem."""

        self._files: list[str] = []
        self._parts: list[np.ndarray] = []

    def add(self, rows: pa.Table) -> None:
        """Count a batch; it has at least COLUMNS."""
        for found in pc.value_counts(rows["state"]).to_pylist():
            self.states[found["values"]] += found["counts"]
        state = pc.field("state")
        unused = rows.filter((state != USED) & (state != OUTSIDE))
        for row in unused.select(["file", "file_row", "problem"]).to_pylist():
            self.unused.append(_unused(row["file"], row["file_row"], row["problem"]))
        used = rows.filter(state == USED)
        self.kinds.update(pc.unique(used["kinds"]).to_pylist())
        for file in pc.unique(used["file"]).to_pylist():
            if file not in self._files:
                self._files.append(file)
        part = np.empty(len(used), _LABEL)
        part["pair"] = hashes(used["pair_id"].to_pylist())
        part["comparison"] = hashes(used["comparison_id"].to_pylist())
        part["file"] = [self._files.index(file) for file in used["file"].to_pylist()]
        part["row"] = used["file_row"]
        for name in ("length", "length_difference", "num_cut", "sign"):
            part[name] = used[name]
        self._parts.append(part)

    def drop_duplicates(self) -> set[tuple[str, int]]:
        """Leave out every label whose pair_id an earlier row has; their (file, row)."""
        labels = self._labels()
        order = np.lexsort((labels["row"], labels["file"], labels["pair"]))
        pair = labels["pair"][order]
        same = np.zeros(len(order), dtype=bool)
        same[order[1:]] = pair[1:] == pair[:-1]
        return self.leave_out(same, "duplicate pair_id")

    def leave_out(self, mask: np.ndarray, problem: str) -> set[tuple[str, int]]:
        """Count used labels (bool, one per label) as bad; returns their (file, row)."""
        left = self._labels()[mask]
        files = [self._files[i] for i in left["file"]]
        places = set(zip(files, left["row"].tolist(), strict=True))
        self.unused += [_unused(file, row, problem) for file, row in places]
        self.states[BAD] += len(places)
        self.keep(~mask)
        return places

    def labels(self) -> LabelKeys:
        """The used labels, in the order in which they came."""
        found = self._labels()
        return LabelKeys(
            found["pair"],
            found["comparison"],
            np.array([*self._files, ""], dtype=object)[found["file"]],
            found["row"],
            found["sign"],
        )

    def keep(self, kept: np.ndarray) -> None:
        """Forget the used labels that are not kept (bool, one per label)."""
        if not kept.all():
            self.states[USED] -= int((~kept).sum())
            self._parts = [self._labels()[kept]]

    def comparisons(self) -> np.ndarray:
        """Sorted 64-bit hashes of the distinct comparisons."""
        return np.unique(self._labels()["comparison"])

    def report(self) -> dict[str, Any]:
        """The data report of this set."""
        labels = self._labels()
        length, difference = labels["length"], labels["length_difference"]
        counts, _ = np.histogram(length, EDGES)
        reasons = Counter(
            re.sub(r"\d+", "N", row["problem"].partition(": ")[0])
            for row in self.unused
        )
        untied = difference[difference != 0]
        return {
            "rows_read": self.states.total(),
            "rows_not_asked_for": self.states[OUTSIDE],
            "labels": self.states[USED],
            "comparisons": len(self.comparisons()),
            "excluded": dict(sorted(reasons.items())),
            "prompts_cut": int((labels["num_cut"] > 0).sum()),
            "mean_length": float(length.mean()) if len(length) else None,
            "length_histogram": {
                f"{low}-{high - 1}" if high < 2**31 else f"{low}+": int(count)
                for low, high, count in zip(EDGES[:-1], EDGES[1:], counts, strict=True)
            },
            "share_longer_chosen": float((untied > 0).mean()) if len(untied) else None,
        }

    def __str__(self) -> str:
        return (
            f"{self.states.total()} rows read, {self.states[USED]} labels on "
            f"{len(self.comparisons())} comparisons, {len(self.unused)} left out, "
            f"{self.states[OUTSIDE]} not asked for"
        )

    def _labels(self) -> np.ndarray:
        """All used labels in one array of _LABEL."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty(0, _LABEL), *self._parts])]
        return self._parts[0]


def _unused(file: str, row: int, problem: str) -> dict[str, Any]:
    return {"file": file, "row": row, "problem": problem}


def hashes(texts: Any) -> np.ndarray:
    digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8")
