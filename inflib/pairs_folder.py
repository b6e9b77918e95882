"""The folder of one pair set, pairs/<set>/: what prepare writes, later stages read.

    plan.json                    the shards: name, comparisons, labels, tokens, sha256
    comparisons-<shard>.parquet  comparison_id, prefix, a, b (token ids), texts
    labels-<shard>.parquet       pair_id, row (of its comparison), sign, the margin that
                                 the loss requires (0 without one), kept columns
    excluded.parquet             file, row, problem of every row left out

A label is in the shard of its comparison, so scoring a shard needs that shard alone.
"""

from dataclasses import dataclass

import pyarrow as pa

from inflib.folder import Folder

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


@dataclass(frozen=True)
class PairsFolder:
    """Reads and writes pairs/<set>/."""

    folder: Folder

    def plan(self) -> list[Shard]:
        return [Shard(**shard) for shard in self.folder.read_json("plan.json")]

    def write_plan(self, shards: list[Shard]) -> None:
        self.folder.write_json("plan.json", [vars(shard) for shard in shards])

    def comparisons(self, shard: str, columns: list[str] | None = None) -> pa.Table:
        return self.folder.read_table(f"comparisons-{shard}.parquet", columns)

    def labels(self, shard: str) -> pa.Table:
        return self.folder.read_table(f"labels-{shard}.parquet")

    def digest(self, shard: str) -> str:
        return next(s.sha256 for s in self.plan() if s.name == shard)

    def write_shard(self, name: str, comparisons: pa.Table, labels: pa.Table) -> Shard:
        return Shard(
            name,
            len(comparisons),
            len(labels),
            *num_tokens(comparisons),
            self.folder.write_table(f"comparisons-{name}.parquet", comparisons),
            self.folder.write_table(f"labels-{name}.parquet", labels),
        )


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
