"""The folder of one pair set, pairs/<set>/: `prepare` writes it, later stages read it.

    plan.json                    one entry for each shard, the fields of Shard
    comparisons-<shard>.parquet  COMPARISONS: a row for each comparison
    labels-<shard>-<digest>.parquet
                                 LABELS and the kept columns: a row for each label
    excluded.parquet             EXCLUDED: a row for each input row that was left out

A label is in the shard of its comparison, so scoring a shard needs that shard alone.
The plan says which files belong to the set: when labels are appended to comparisons of
a shard, its labels file is not changed but replaced by one with another digest.
"""

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.storage.folder import Folder, to_parquet

_MESSAGES = "messages"
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
        (_MESSAGES, pa.string()),
    ]
)
"""A comparison. prefix: token ids that both sequences start with; a, b: those that
follow for response a and b; num_cut: prompt tokens cut off to fit max_length; messages:
JSON {prompt, a, b: lists of chat messages, arguments: of the chat template}, null for
texts, and missing in runs of earlier versions."""

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
        ("target", pa.float64()),
        ("weight", pa.float64()),
    ]
)
"""A label. row: row of its comparison in the shard, from 0; sign: +1 when response a
was chosen, -1 for b; file_row: row in the input file, from 1; length_difference: tokens
of the chosen minus the rejected response; required_margin: margin that its loss
requires, 0 without prepare.margin_column; target: probability that the chosen response
is the better one, 0.5 for a tie; weight: factor of its loss."""

EXCLUDED = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("problem", pa.string())]
)


@dataclass(frozen=True)
class Shard:
    """One shard of the plan: its name, its size and the digests of its files."""

    name: str
    num_comparisons: int
    num_labels: int
    num_tokens: int
    """Tokens of both full sequences (prefix and response) of every comparison."""

    num_shared: int
    """Tokens when the prefix of each comparison is counted once."""

    num_distinct: int
    """Tokens when equal full sequences are counted once."""

    sha256: str
    """SHA-256 of the comparisons file."""

    labels_sha256: str
    """SHA-256 of the labels file."""

    @property
    def comparisons_file(self) -> str:
        return f"comparisons-{self.name}.parquet"

    @property
    def labels_file(self) -> str:
        return _labels_file(self.name, self.labels_sha256)


@dataclass(frozen=True)
class PairsFolder:
    """The files of one pair set."""

    folder: Folder

    def plan(self) -> list[Shard]:
        """All shards of the pair set, in order. Raises ValueError without a plan."""
        try:
            plan = self.folder.read_json("plan.json")
        except FileNotFoundError:
            raise ValueError(
                f"{self.folder.url} has no plan.json: run `inflib prepare` first"
            ) from None
        return [Shard(**shard) for shard in plan]

    def write_plan(self, shards: list[Shard]) -> None:
        """Write plan.json; the files that it names must be there."""
        self.folder.write_json("plan.json", [vars(shard) for shard in shards])

    def unplanned(self, plan: list[Shard]) -> list[str]:
        """Names of files in the folder that do not belong to the plan, sorted."""
        planned = {"plan.json", "excluded.parquet"}
        for shard in plan:
            planned |= {shard.comparisons_file, shard.labels_file}
        return sorted(self.folder.names() - planned)

    def comparisons(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """Comparisons of a shard, as COMPARISONS; columns: some of its columns, of
        which `messages` may be missing (see there).

        Raises ValueError when the file does not have the planned digest.
        """
        return self._read(shard.comparisons_file, shard.sha256, columns)

    def labels(self, shard: Shard, columns: list[str] | None = None) -> pa.Table:
        """Labels of a shard, as LABELS and kept columns; columns: some of these.

        Raises ValueError when the file does not have the planned digest.
        """
        return self._read(shard.labels_file, shard.labels_sha256, columns)

    def texts(self, shard: Shard, comparison_id: str) -> dict[str, str]:
        """{"prompt", "response_a", "response_b"} of a comparison in the shard."""
        names = ["comparison_id", "prompt", "response_a", "response_b"]
        table = self.comparisons(shard, names)
        row = table["comparison_id"].to_pylist().index(comparison_id)
        return table.select(names[1:]).slice(row, 1).to_pylist()[0]

    def _read(self, name: str, sha256: str, columns: list[str] | None) -> pa.Table:
        data = self.folder.read_bytes(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(
                f"{self.folder.url}/{name} is not the file of the plan: it was changed "
                "or truncated; restore it, or choose another --run"
            )
        if columns and _MESSAGES in columns:
            has_messages = _MESSAGES in pq.read_schema(pa.BufferReader(data)).names
            columns = [c for c in columns if c != _MESSAGES or has_messages]
        return pq.read_table(pa.BufferReader(data), columns=columns)

    def write_shard(self, name: str, comparisons: pa.Table, labels: pa.Table) -> Shard:
        """Write a shard's two files; returns its entry for the plan."""
        return Shard(
            name,
            len(comparisons),
            len(labels),
            *num_tokens(comparisons),
            self.folder.write_table(f"comparisons-{name}.parquet", comparisons),
            self.write_labels(name, labels),
        )

    def write_labels(self, name: str, labels: pa.Table) -> str:
        """Write the labels file of the shard with this name; returns its SHA-256."""
        data = to_parquet(labels)
        digest = hashlib.sha256(data).hexdigest()
        self.folder.write(_labels_file(name, digest), data)
        return digest


def _labels_file(name: str, sha256: str) -> str:
    return f"labels-{name}-{sha256[:16]}.parquet"


def num_tokens(comparisons: pa.Table) -> tuple[int, int, int]:
    """(num_tokens, num_shared, num_distinct) of a Shard with these comparisons."""
    num_tokens, num_shared, lengths = 0, 0, {}
    for row in comparisons.select(["prefix", "a", "b"]).to_pylist():
        for tail in (row["a"], row["b"]):
            sequence = tuple(row["prefix"] + tail)
            lengths[sequence] = len(sequence)
            num_tokens += len(sequence)
        num_shared += len(row["prefix"]) + len(row["a"]) + len(row["b"])
    return num_tokens, num_shared, sum(lengths.values())


class TextsById:
    """{comparison_id: its texts} of a pair set; reads all ids once, texts when used."""

    def __init__(self, folder: PairsFolder) -> None:
        self.folder, self._shards = folder, dict[str, Shard]()
        for shard in folder.plan():
            ids = folder.labels(shard, ["comparison_id"])["comparison_id"]
            self._shards |= dict.fromkeys(ids.to_pylist(), shard)

    def __getitem__(self, comparison_id: str) -> dict[str, str]:
        """{"prompt", "response_a", "response_b"} of a comparison."""
        return self.folder.texts(self._shards[comparison_id], comparison_id)
