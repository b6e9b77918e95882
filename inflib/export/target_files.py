"""Rows to the file, folder or hub of a target, shard by shard.

A file is written under a scratch name and renamed, or on this machine and sent: one
that is there is complete.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.export.targets import HUB, Target
from inflib.storage.folder import SCRATCH, open_filesystem

Rows = Iterator[list[dict[str, Any]]]


def write_rows(target: Target, rows: Rows, schema: pa.Schema) -> None:
    """Write the rows of each shard as they come."""
    if target.kind == "jsonl":
        with new_file(target.url) as file:
            for of_shard in rows:
                for row in of_shard:
                    line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
                    file.write(line.encode(errors="replace"))
    elif target.kind == "parquet":
        _write_parquet(target.url, rows, schema)
    else:
        with tempfile.TemporaryDirectory(prefix="inflib-export-") as scratch:
            path = str(Path(scratch) / "rows.parquet")
            _write_parquet(path, rows, schema)
            _write_dataset(target, path, str(Path(scratch) / "cache"))


@contextmanager
def new_file(url: str) -> Iterator[BinaryIO]:
    """A file to write, which is there under its name once it is complete."""
    fs, path = open_filesystem(url)
    if "://" in url and not url.startswith("file://"):
        # Closing a remote file sends it, also one that an error has cut off.
        with tempfile.TemporaryDirectory(prefix="inflib-export-") as scratch_folder:
            local = Path(scratch_folder) / "file"
            with open(local, "wb") as file:
                yield file
            fs.put_file(str(local), path)
        return
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = place.with_name(f"{SCRATCH}{place.name}")
    try:
        with open(scratch, "wb") as file:
            yield file
        os.replace(scratch, place)
    finally:
        scratch.unlink(missing_ok=True)


def write_json_list(url: str, values: Iterator[dict[str, Any]]) -> int:
    """Write a list, a value at a time; returns how many."""
    count = 0
    with new_file(url) as file:
        file.write(b"[")
        for value in values:
            text = json.dumps(value, ensure_ascii=False)
            file.write((",\n" if count else "\n").encode() + text.encode())
            count += 1
        file.write(b"\n]\n")
    return count


def _write_parquet(url: str, rows: Rows, schema: pa.Schema) -> None:
    with (
        new_file(url) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for of_shard in rows:
            if of_shard:
                writer.write_table(_table(of_shard, schema))


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        columns.append(_array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.json_():
        return pa.array([_json(x) for x in values], pa.string()).cast(kind)
    if pa.types.is_list(kind) and kind.value_type == pa.json_():
        texts = [[_json(x) for x in value] for value in values]
        return pa.array(texts, pa.list_(pa.string())).cast(kind)
    return pa.array(values, kind)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write_dataset(target: Target, path: str, cache: str) -> None:
    import datasets

    shows_progress = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        loaded = datasets.Dataset.from_parquet(path, cache_dir=cache)
        if target.kind == "hub":
            loaded.push_to_hub(target.url.removeprefix(HUB), private=True)
        else:
            loaded.save_to_disk(target.url)
    finally:
        if shows_progress:
            datasets.enable_progress_bars()
