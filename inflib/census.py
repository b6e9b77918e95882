"""Counts over all rows of a pair set: duplicates, kept columns, the data report.

Holds some 40 bytes per label, never text.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from inflib.preparing import BAD, OUTSIDE, USED

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


@dataclass(frozen=True)
class Labels:
    """Labels by 64-bit hashes of their ids; arrays of one entry per label."""

    pair: np.ndarray
    comparison: np.ndarray
    file: np.ndarray
    row: np.ndarray
    sign: np.ndarray


class Census:
    """Feed it every batch of rows, then ask."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.kinds: set[str] = set()
        self.unused: list[dict[str, Any]] = []
        """Rows that are neither used nor outside: file, row, problem."""

        self._files: list[str] = []
        self._pair_hash: list[np.ndarray] = []
        self._comparison_hash: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def add(self, rows: pa.Table) -> None:
        """Count a batch; it has at least COLUMNS."""
        used = []
        for row in rows.select(COLUMNS).to_pylist():
            self.states[row["state"]] += 1
            if row["state"] == USED:
                used.append(row)
            elif row["state"] != OUTSIDE:
                self.unused.append(_unused(row, row["problem"]))
        if not used:
            return
        self.kinds.update(row["kinds"] for row in used)
        for row in used:
            if row["file"] not in self._files:
                self._files.append(row["file"])
        self._pair_hash.append(hashes(row["pair_id"] for row in used))
        self._comparison_hash.append(hashes(row["comparison_id"] for row in used))
        names = ("file_row", "length", "length_difference", "num_cut", "sign")
        self._numbers.append(
            np.array(
                [
                    (self._files.index(row["file"]), *(row[n] for n in names))
                    for row in used
                ],
                dtype=np.int64,
            )
        )

    def drop_duplicates(self) -> set[tuple[str, int]]:
        """Leave out every label whose pair_id an earlier row has; their (file, row)."""
        pair, numbers = self.labels().pair, self._joined()
        order = np.lexsort((numbers[:, 1], numbers[:, 0], pair))
        same = np.zeros(len(order), dtype=bool)
        same[order[1:]] = pair[order[1:]] == pair[order[:-1]]
        return self.leave_out(same, "duplicate pair_id")

    def leave_out(self, mask: np.ndarray, problem: str) -> set[tuple[str, int]]:
        """Count used labels (bool, one per label) as bad; returns their (file, row)."""
        labels = self.labels()
        places = set(zip(labels.file[mask], labels.row[mask].tolist(), strict=True))
        self.unused += [
            {"file": file, "row": row, "problem": problem} for file, row in places
        ]
        self.states[BAD] += len(places)
        self.keep(~mask)
        return places

    def labels(self) -> Labels:
        """The used labels, in the order in which they came."""
        none = np.empty(0, dtype=np.uint64)
        numbers = self._joined()
        return Labels(
            np.concatenate([none, *self._pair_hash]),
            np.concatenate([none, *self._comparison_hash]),
            np.array([*self._files, ""], dtype=object)[numbers[:, 0]],
            numbers[:, 1],
            numbers[:, 5],
        )

    def keep(self, kept: np.ndarray) -> None:
        """Forget the used labels that are not kept (bool, one per label)."""
        found, numbers = self.labels(), self._joined()
        self.states[USED] -= int((~kept).sum())
        self._pair_hash = [found.pair[kept]]
        self._comparison_hash = [found.comparison[kept]]
        self._numbers = [numbers[kept]]

    def comparisons(self) -> np.ndarray:
        """Sorted 64-bit hashes of the distinct comparisons."""
        if not self._comparison_hash:
            return np.empty(0, dtype=np.uint64)
        return np.unique(np.concatenate(self._comparison_hash))

    def report(self) -> dict[str, Any]:
        """The data report of this set."""
        numbers = self._joined()
        length, difference, cut = numbers[:, 2], numbers[:, 3], numbers[:, 4]
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
            "prompts_cut": int((cut > 0).sum()),
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

    def _joined(self) -> np.ndarray:
        return np.concatenate([np.empty((0, 6), np.int64), *self._numbers])


def _unused(row: dict[str, Any], problem: str) -> dict[str, Any]:
    return {"file": row["file"], "row": row["file_row"], "problem": problem}


def hashes(texts: Any) -> np.ndarray:
    digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8")
