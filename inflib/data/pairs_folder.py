"""The folder of one pair set, pairs/<set>/: what prepare writes, later stages read.

    plan.json                    the shards: name, comparisons, labels, tokens, sha256
    comparisons-<shard>.parquet  comparison_id, prefix, a, b (token ids), texts
    labels-<shard>-<digest>.parquet
                                 pair_id, row (of its comparison), sign, the margin that
                                 the loss requires (0 without one), kept columns
    excluded.parquet             file, row, problem of every row left out

A label is in the shard of its comparison, so scoring a shard needs that shard alone.
The plan is what counts: a labels file is never changed but replaced by one of another
name, when labels are appended to its comparisons.
"""

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.storage.folder import Folder, to_parquet

TOKENS = pa.list_(pa.int32())
COMPARISONS = pa.schema(
    [
        ("comparison_id", pa.string()),
        ("prefix", TOKENS),
        ("a", TOKENS),
        ("b", TOKENS),
        ("num_cut", pa.int32()),
        ("prompt", pa.string()),
        ("response_a", pa.string()),
        ("response_b", pa.string()),
    ]
)
LABELS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("comparison_id", pa.string()),
        ("row", pa.int32()),
        ("sign", pa.int8()),
        ("file", pa.string()),
        ("file_row", pa.int64()),
        ("length_difference", pa.int32()),
        ("required_margin", pa.float64()),
    ]
)
EXCLUDED = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("problem", pa.string())]
)


@dataclass(frozen=True)
class Shard:
    """One line of the plan."""

    name: str
    num_comparisons: int
    num_labels: int
    num_tokens: int
    """Tokens of both full sequences of every comparison."""

    num_shared: int
    """The same with each comparison's shared prefix counted once."""

    num_distinct: int
    """Tokens of the distinct full sequences."""

    sha256: str
    """Digest of the comparisons file."""

    labels_sha256: str
    """Digest of the labels file."""

    @property
    def comparisons_file(self) -> str:
        return f"comparisons-{self.name}.parquet"

    @property
    def labels_file(self) -> str:
        return _labels_file(self.name, self.labels_sha256)


@dataclass(frozen=True)
class PairsFolder:
    """Reads and writes pairs/<set>/."""

    folder: Folder

    def plan(self) -> list[Shard]:
        return [Shard(**shard) for shard in self.folder.read_json("plan.json")]

    def write_plan(self, shards: list[Shard]) -> None:
        self.folder.write_json("plan.json", [vars(shard) for shard in shards])

    def unplanned(self, plan: list[Shard]) -> list[str]:
        """Files here that the plan does not name."""
        planned = {"plan.json", "excluded.parquet"}
        planned |= {n for s in plan for n in (s.comparisons_file, s.labels_file)}
        return sorted(self.folder.names() - planned)

    def comparisons(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """Raises ValueError when the file is not the planned one."""
        return self._read(shard.comparisons_file, shard.sha256, columns)

    def labels(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """Raises ValueError when the file is not the planned one."""
        return self._read(shard.labels_file, shard.labels_sha256, columns)

    def texts(self, shard: Shard, comparison_id: str) -> dict[str, str]:
        """prompt, response_a and response_b of a comparison."""
        names = ["comparison_id", "prompt", "response_a", "response_b"]
        found = self.comparisons(shard, names)
        place = found["comparison_id"].to_pylist().index(comparison_id)
        return found.select(names[1:]).slice(place, 1).to_pylist()[0]

    def _read(self, name: str, sha256: str, columns: list[str] | None) -> pa.Table:
        data = self.folder.read_bytes(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(
                f"{self.folder.url}/{name} is not the file of the plan: it was changed "
                "or truncated; restore it, or choose another --run"
            )
        return pq.read_table(pa.BufferReader(data), columns=columns)

    def write_shard(self, name: str, comparisons: pa.Table, labels: pa.Table) -> Shard:
        return Shard(
            name,
            len(comparisons),
            len(labels),
            *num_tokens(comparisons),
            self.folder.write_table(f"comparisons-{name}.parquet", comparisons),
            self.write_labels(name, labels),
        )

    def write_labels(self, name: str, labels: pa.Table) -> str:
        """Write a shard's labels; returns their digest."""
        data = to_parquet(labels)
        digest = hashlib.sha256(data).hexdigest()
        self.folder.write(_labels_file(name, digest), data)
        return digest


def _labels_file(name: str, sha256: str) -> str:
    return f"labels-{name}-{sha256[:16]}.parquet"


def num_tokens(comparisons: pa.Table) -> tuple[int, int, int]:
    """Tokens of all full sequences, with prefixes shared, of distinct sequences."""
    whole, shared, distinct = 0, 0, {}
    for row in comparisons.select(["prefix", "a", "b"]).to_pylist():
        for tail in (row["a"], row["b"]):
            sequence = tuple(row["prefix"] + tail)
            distinct[sequence] = len(sequence)
            whole += len(sequence)
        shared += len(row["prefix"]) + len(row["a"]) + len(row["b"])
    return whole, shared, sum(distinct.values())


class TextsById:
    """Texts of any comparison of a pair set; reads all its ids once."""

    def __init__(self, folder: PairsFolder) -> None:
        self.folder, self._shards = folder, dict[str, Shard]()
        for shard in folder.plan():
            ids = folder.labels(shard, ["comparison_id"])["comparison_id"]
            self._shards |= dict.fromkeys(ids.to_pylist(), shard)

    def __getitem__(self, comparison_id: str) -> dict[str, str]:
        """prompt, response_a and response_b."""
        return self.folder.texts(self._shards[comparison_id], comparison_id)
