"""Rows of a dataset to a file or folder, by the target's name."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.export.dataset_rows import TEXTS, Dataset
from inflib.storage.folder import open_filesystem

Rows = list[dict[str, Any]]

HUB = "hub:"
_PLAIN = {"role", "content"}


def check_target(target: str) -> None:
    """Raise ValueError for a target that could not be written, before any work."""
    if target.startswith(HUB):
        if target.removeprefix(HUB).count("/") != 1:
            raise ValueError(f"--to {target}: name a dataset as hub:owner/name")
        return
    if target.endswith((".jsonl", ".parquet")):
        fs, path = open_filesystem(target)
        if fs.isdir(path):
            raise ValueError(f"--to {target}: a folder of this name is there")
        return
    kind = Path(target.rstrip("/")).suffix
    if kind:
        raise ValueError(
            f"--to {target}: end it with .jsonl or .parquet; a name without an ending "
            "is a folder for datasets.load_from_disk; hub:owner/name is pushed"
        )
    if "://" in target:
        raise ValueError(f"--to {target}: a datasets folder is written locally")
    if Path(target).exists() and not (Path(target) / "dataset_info.json").exists():
        raise ValueError(
            f"--to {target}: there is something of this name that is no dataset; "
            "choose another one"
        )


def write_dataset(dataset: Dataset, target: str) -> int:
    """Write the rows; returns how many. Raises ValueError where there are none, or
    where messages hold more than the target's format keeps."""
    if target.endswith(".jsonl"):
        return _write_jsonl(dataset, target)
    if target.endswith(".parquet"):
        return _write_parquet(dataset, target)
    # `datasets` makes the folder of a Parquet file, shard by shard: the rows never
    # are in memory together.
    with tempfile.TemporaryDirectory() as scratch:
        file = f"{scratch}/rows.parquet"
        count = _write_parquet(dataset, file)
        from datasets import Dataset as Table

        table = Table.from_parquet(file, cache_dir=scratch)
        if target.startswith(HUB):
            table.push_to_hub(target.removeprefix(HUB))
        else:
            shutil.rmtree(target, ignore_errors=True)
            table.save_to_disk(target)
    return count


def _write_jsonl(dataset: Dataset, target: str) -> int:
    fs, path = open_filesystem(target)
    _make_parent(fs, path)
    count = 0
    with fs.open(path, "wb") as file:
        for rows in _checked(dataset.rows()):
            for row in rows:
                file.write(json.dumps(row, default=str).encode() + b"\n")
            count += len(rows)
    return count


def _write_parquet(dataset: Dataset, target: str) -> int:
    schema, count = dataset.schema(), 0
    fs, path = open_filesystem(target)
    _make_parent(fs, path)
    with fs.open(path, "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for rows in _checked(dataset.rows()):
            for row in rows:
                _check_plain(row, schema, target)
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    return count


def _checked(
    all_rows: Iterator[list[dict[str, Any]]],
) -> Iterator[list[dict[str, Any]]]:
    """The rows of shards that have any. Raises ValueError where none has."""
    empty = True
    for rows in all_rows:
        if rows:
            empty = False
            yield rows
    if empty:
        raise ValueError("no label is left: all are dropped, or have weight 0")


def _check_plain(row: dict[str, Any], schema: pa.Schema, target: str) -> None:
    """Raise ValueError where Arrow would leave out a part of a row's messages."""
    messages = [x for name in TEXTS if isinstance(row[name], list) for x in row[name]]
    more = {key for message in messages for key in message} - _PLAIN
    more |= row.keys() - set(schema.names)
    if more:
        raise ValueError(
            f"--to {target}: messages of {row['inflib_pair_id']!r} have "
            f"{', '.join(sorted(more))}, which only a .jsonl file keeps"
        )


def _make_parent(fs: Any, path: str) -> None:
    parent = path.rpartition("/")[0]
    if parent and "file" in str(fs.protocol):
        fs.makedirs(parent, exist_ok=True)
