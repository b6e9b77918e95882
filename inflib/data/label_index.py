"""Rows of a pair set to its index of labels: counts, duplicates, the data report.

The index is made on the driver, over the rows of all files. It holds 65 bytes per label
and no text, only 64-bit hashes of ids.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.data.row_schema import BAD, OUTSIDE, SHARED, TOKENS_NEEDED, USED

VERDICT = ("target", "weight", "required_margin")
"""Columns that say, with the sign, what a label says."""

COLUMNS = [
    "state",
    "file",
    "file_row",
    "problem",
    "first",
    "place",
    "pair_id",
    "labeler",
    "marks",
    "comparison_id",
    "sign",
    "length",
    "length_difference",
    "num_cut",
    "kinds",
    *VERDICT,
]
"""Columns of ROWS that the index is made from."""

EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 2**31)
"""Bounds, in tokens, of the histogram of lengths: each comparison's longer sequence."""

_LABEL = np.dtype(
    [
        ("place", "u8"),
        ("pair", "u8"),
        ("pair_and_labeler", "u8"),
        ("comparison", "u8"),
        ("row", "i8"),
        ("file", "i4"),
        ("length", "i4"),
        ("length_difference", "i4"),
        ("num_cut", "i4"),
        ("sign", "i1"),
        ("verdict", "u8"),
    ]
)
"""Record of one label. pair, pair_and_labeler and comparison are hashes of ids; file
is an index."""


@dataclass(frozen=True)
class LabelKeys:
    """Labels by 64-bit hashes of their ids. Each array has one entry per label."""

    pair: np.ndarray
    """Hash of the pair_id, uint64."""

    comparison: np.ndarray
    """Hash of the comparison_id, uint64."""

    place: np.ndarray
    """Hash of its place in the input (row_schema.place_of), uint64."""

    file: np.ndarray
    """Input file."""

    row: np.ndarray
    """Row in the input file, from 1."""

    sign: np.ndarray
    """+1: response a was chosen; -1: b."""

    verdict: np.ndarray
    """Hash of the columns VERDICT, uint64."""


class LabelIndex:
    """Counts over all rows of one pair set, and a record of each label (a used row).

    All rows are added (`add`) before anything else is called.
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        """Number of rows in each state (row_schema)."""

        self.kinds: set[str] = set()
        """Distinct values of the column `kinds` of the labels."""

        self.num_rows = 0
        """Number of input rows; answers in rows of their own are one row together."""

        self.marks: Counter[str] = Counter()
        """Number of labels with each mark."""

        self.unused: list[dict[str, Any]] = []
        """{file, row, problem} of every row that is neither used nor outside."""

        self.ids_by_labeler = False
        """Whether pair_ids name comparisons, on which several labelers voted: then a
        label is told by both."""

        self._files: list[str] = []
        self._chunks: list[np.ndarray] = []

    def add(self, rows: pa.Table) -> None:
        """Count a batch of rows; it has at least COLUMNS."""
        for count in pc.value_counts(rows["state"]).to_pylist():
            self.states[count["values"]] += count["counts"]
        self.num_rows += pc.sum(rows["first"]).as_py() or 0
        state = pc.field("state")
        unused = rows.filter((state != USED) & (state != OUTSIDE))
        for row in unused.select(["file", "file_row", "problem"]).to_pylist():
            self.unused.append(_unused(row["file"], row["file_row"], row["problem"]))
        used = rows.filter(state == USED)
        self.kinds.update(pc.unique(used["kinds"]).to_pylist())
        self.marks.update(pc.list_flatten(used["marks"]).to_pylist())
        for file in pc.unique(used["file"]).to_pylist():
            if file not in self._files:
                self._files.append(file)
        records = np.empty(len(used), _LABEL)
        records["place"] = used["place"]
        records["pair"] = hash_ids(used["pair_id"].to_pylist())
        records["pair_and_labeler"] = hash_ids(
            id_with_labeler(used["pair_id"], used["labeler"]).to_pylist()
        )
        records["comparison"] = hash_ids(used["comparison_id"].to_pylist())
        records["file"] = [self._files.index(file) for file in used["file"].to_pylist()]
        records["row"] = used["file_row"]
        records["verdict"] = hash_verdicts(used)
        for name in ("length", "length_difference", "num_cut", "sign"):
            records[name] = used[name]
        self._chunks.append(records)

    def name_by_labeler(self, ids_by_labeler: bool | None = None) -> None:
        """Tell labels by pair_id and labeler, if pair_ids are shared by labelers.

        ids_by_labeler: what was decided when the run was prepared; None: decide now.
        """
        labels = self._records()
        if ids_by_labeler is None:
            known = labels[labels["pair"] != labels["pair_and_labeler"]]
            distinct = len(np.unique(known["pair_and_labeler"]))
            ids_by_labeler = len(np.unique(known["pair"])) < distinct
        if ids_by_labeler:
            labels["pair"] = labels["pair_and_labeler"]
        self.ids_by_labeler = ids_by_labeler

    def drop_duplicates(self) -> np.ndarray:
        """Exclude labels whose id an earlier row has; returns their places, uint64.

        Earlier: in a file that was added before, or above in the same file.
        """
        labels = self._records()
        order = np.lexsort((labels["row"], labels["file"], labels["pair"]))
        pair = labels["pair"][order]
        repeats = np.zeros(len(order), dtype=bool)
        repeats[order[1:]] = pair[1:] == pair[:-1]
        return self.exclude(repeats, "duplicate pair_id")

    def exclude(self, mask: np.ndarray, problem: str, state: str = BAD) -> np.ndarray:
        """Count labels as rows of a state, bad ones; returns their places, uint64.

        mask: bool, one per label; problem: what is wrong with them.
        """
        records = self._records()[mask]
        files = [self._files[i] for i in records["file"]]
        rows = sorted(zip(files, records["row"].tolist(), strict=True))
        self.unused += [_unused(file, row, problem) for file, row in rows]
        self.states[state] += len(records)
        self.keep(~mask)
        return records["place"]

    def leave_out(self, comparisons: np.ndarray, problem: str) -> np.ndarray:
        """Exclude labels on these comparisons (hashes), as SHARED; returns their
        places, uint64."""
        shared = np.isin(self._records()["comparison"], comparisons)
        return self.exclude(shared, problem, SHARED)

    def label_keys(self) -> LabelKeys:
        """Keys of the labels, in the order in which they were added."""
        records = self._records()
        return LabelKeys(
            records["pair"],
            records["comparison"],
            records["place"],
            np.array([*self._files, ""], dtype=object)[records["file"]],
            records["row"],
            records["sign"],
            records["verdict"],
        )

    def keep(self, mask: np.ndarray) -> None:
        """Forget all other labels: they count as no row at all.

        mask: bool, one per label; true for those that stay.
        """
        if not mask.all():
            self.states[USED] -= int((~mask).sum())
            self._chunks = [self._records()[mask]]

    def comparisons(self) -> np.ndarray:
        """Hashes of the distinct comparison_ids, uint64, sorted."""
        return np.unique(self._records()["comparison"])

    def report(self) -> dict[str, Any]:
        """The data report of this pair set, as it stands in pairs/report.json."""
        labels = self._records()
        length, difference = labels["length"], labels["length_difference"]
        counts, _ = np.histogram(length, EDGES)
        reasons = Counter(
            re.sub(r"\d+", "N", row["problem"].partition(": ")[0])
            for row in self.unused
        )
        untied = difference[difference != 0]
        needed = [
            m[1] for row in self.unused if (m := TOKENS_NEEDED.match(row["problem"]))
        ]
        fitting = np.concatenate([length, np.array(needed, dtype=int)])
        return {
            "rows_read": self.num_rows,
            "rows_not_asked_for": self.states[OUTSIDE],
            "labels": self.states[USED],
            "comparisons": len(self.comparisons()),
            "excluded": dict(sorted(reasons.items())),
            "noted": dict(sorted(self.marks.items())),
            "prompts_cut": int((labels["num_cut"] > 0).sum()),
            "mean_length": float(length.mean()) if len(length) else None,
            "too_long": {
                "labels": len(needed),
                "length_for_95%": int(np.quantile(fitting, 0.95, method="higher")),
            }
            if needed
            else None,
            "length_quantiles": {
                name: int(np.quantile(length, share)) if len(length) else None
                for name, share in (("median", 0.5), ("95%", 0.95), ("longest", 1))
            },
            "length_histogram": {
                f"{low}-{high - 1}" if high < 2**31 else f"{low}+": int(count)
                for low, high, count in zip(EDGES[:-1], EDGES[1:], counts, strict=True)
            },
            "share_longer_chosen": float((untied > 0).mean()) if len(untied) else None,
        }

    def __str__(self) -> str:
        return (
            f"{self.num_rows} rows read, {self.states[USED]} labels on "
            f"{len(self.comparisons())} comparisons, {len(self.unused)} left out, "
            f"{self.states[OUTSIDE]} not asked for"
        )

    def _records(self) -> np.ndarray:
        """Records of all labels in one array of _LABEL."""
        if len(self._chunks) != 1:
            self._chunks = [np.concatenate([np.empty(0, _LABEL), *self._chunks])]
        return self._chunks[0]


def _unused(file: str, row: int, problem: str) -> dict[str, Any]:
    return {"file": file, "row": row, "problem": problem}


def hash_verdicts(labels: pa.Table) -> np.ndarray:
    """64-bit hash of the columns VERDICT of each label, uint64."""
    bits = np.zeros(len(labels), np.uint64)
    for name in VERDICT:
        values = labels[name].to_numpy().astype(np.float64) + 0.0  # no -0
        bits = bits * np.uint64(0x9E3779B97F4A7C15) + values.view(np.uint64)
    return bits


def id_with_labeler(
    pair_id: pa.ChunkedArray, labeler: pa.ChunkedArray
) -> pa.ChunkedArray:
    """pair_id:labeler of each label; the pair_id of one without a labeler."""
    joined = pc.binary_join_element_wise(pair_id, labeler, ":")
    return pc.coalesce(joined, pair_id)


def hash_ids(texts: Any) -> np.ndarray:
    """First 64 bits of the SHA-256 of each text, uint64."""
    digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8")
