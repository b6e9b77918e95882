"""Counts over all rows of a pair set: duplicates, kept columns, the data report.

Holds some 40 bytes per label, never text.
"""

import hashlib
import re
from collections import Counter
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
    "length",
    "length_difference",
    "num_cut",
    "kinds",
]
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 2**31)
"""Bounds of the token histogram: tokens of a comparison's longer sequence."""


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
        self._pair_hash.append(_hashes(row["pair_id"] for row in used))
        self._comparison_hash.append(_hashes(row["comparison_id"] for row in used))
        names = ("file_row", "length", "length_difference", "num_cut")
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
        """(file, row) of every label whose pair_id an earlier row has."""
        if not self._numbers:
            return set()
        hashes, numbers = np.concatenate(self._pair_hash), self._joined()
        order = np.lexsort((numbers[:, 1], numbers[:, 0], hashes))
        same = np.zeros(len(order), dtype=bool)
        same[order[1:]] = hashes[order[1:]] == hashes[order[:-1]]
        dropped = {(self._files[f], int(r)) for f, r in numbers[same][:, :2]}
        self.unused += [
            {"file": file, "row": row, "problem": "duplicate pair_id"}
            for file, row in dropped
        ]
        self.states[USED] -= len(dropped)
        self.states[BAD] += len(dropped)
        self._pair_hash = [hashes[~same]]
        self._comparison_hash = [np.concatenate(self._comparison_hash)[~same]]
        self._numbers = [numbers[~same]]
        return dropped

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
        return np.concatenate([np.empty((0, 5), np.int64), *self._numbers])


def _unused(row: dict[str, Any], problem: str) -> dict[str, Any]:
    return {"file": row["file"], "row": row["file_row"], "problem": problem}


def _hashes(texts: Any) -> np.ndarray:
    digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8")
