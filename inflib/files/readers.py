"""Files of preference data to raw rows: JSONL, Parquet, CSV, `datasets` folders, data
sets of the hub, generated data (data.synthetic.sources).

A row that cannot be read becomes a `BadRow`; the rows after it are still read. Rows are
numbered from 1: lines of a JSONL file, data rows of a CSV or Parquet file, examples of
a dataset.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import OpenFile, get_compression

from inflib.storage.folder import open_filesystem
from inflib.synthetic import sources

HUB = "hub:"
_NAMES = (HUB, sources.PREFIX)
"""Prefixes of addresses that are not files."""

LINES = (".jsonl", ".json", ".ndjson")
"""Suffixes of files with one JSON object per line."""


@dataclass(frozen=True)
class RawRow:
    """One row as it is in its file."""

    file: str
    row: int
    """Number of the row, from 1."""

    fields: dict[str, Any]
    """{column: value}."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    file: str
    row: int
    """Number of the row, from 1; 0 when the whole file cannot be read."""

    problem: str


def find_files(path: str | tuple[str, ...]) -> list[str]:
    """The files, dataset folders, hub and generated names that `path` stands for.

    Those that match one glob pattern are sorted. Raises FileNotFoundError naming a
    pattern that matches nothing.
    """
    files: list[str] = []
    for pattern in (path,) if isinstance(path, str) else path:
        if pattern.startswith(_NAMES):
            files.append(pattern)
            continue
        fs, local = open_filesystem(pattern)
        matches = sorted(fs.glob(local)) if any(c in local for c in "*?[") else []
        if not matches and fs.exists(local):
            matches = [local]
        if not matches:
            raise FileNotFoundError(f"no preference data at {pattern}")
        if "://" in pattern:
            matches = [fs.unstrip_protocol(match) for match in matches]
        files += matches
    return files


def fingerprint(file: str) -> str:
    """A text that differs when a file was replaced: its size, and a digest of its first
    MiB. Empty for folders, and for hub and generated names.
    """
    if file.startswith(_NAMES):
        return ""
    fs, path = open_filesystem(file)
    if fs.isdir(path):
        return ""
    with fs.open(path, "rb") as start:
        head = start.read(2**20)
    return f"{fs.size(path)}-{hashlib.sha256(head).hexdigest()[:16]}"


def read_rows(file: str, split: str) -> Iterator[RawRow | BadRow]:
    """Rows of one file, in order; split: of a hub data set or a DatasetDict folder.

    Raises ValueError for a format, a split or a generated name that is not known.
    """
    name = file.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
    if file.startswith(sources.PREFIX):
        for number, fields in enumerate(sources.rows(file), start=1):
            yield RawRow(file, number, fields)
    elif file.startswith(HUB) or _is_dataset(file):
        yield from _read_dataset(file, split)
    elif name.endswith(LINES):
        yield from _read_lines(file)
    elif name.endswith(".csv"):
        yield from _read_csv(file)
    elif name.endswith((".parquet", ".pq")):
        yield from _read_parquet(file)
    else:
        raise ValueError(
            f"{file}: cannot tell its format; name it .jsonl, .csv or .parquet "
            "(.gz, .bz2 or .xz after it), or give a `datasets` folder or hub:NAME"
        )


def _read_lines(file: str) -> Iterator[RawRow | BadRow]:
    with _open(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                yield BadRow(file, number, f"broken JSON: {error}")
                continue
            if isinstance(fields, dict):
                yield RawRow(file, number, fields)
            else:
                yield BadRow(file, number, f"not an object but {kind_of(fields)}")


def _read_csv(file: str) -> Iterator[RawRow | BadRow]:
    with _open(file, "rt", encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text, strict=True, restkey="", restval=None)
        number = 0
        while True:
            number += 1
            try:
                fields = next(rows, None)
            except csv.Error as error:
                yield BadRow(file, number, f"broken CSV: {error}")
                continue
            if fields is None:
                return
            if "" in fields:
                yield BadRow(file, number, "more fields than the header names")
            else:
                yield RawRow(file, number, fields)


def _read_parquet(file: str) -> Iterator[RawRow | BadRow]:
    with _open(file) as source:
        try:
            parquet = pq.ParquetFile(source)
        except pa.ArrowInvalid as error:
            yield BadRow(file, 0, f"not a Parquet file: {error}")
            return
        number = 0
        for batch in parquet.iter_batches(batch_size=1024):
            for fields in batch.to_pylist():
                number += 1
                yield RawRow(file, number, fields)


def _read_dataset(file: str, split: str) -> Iterator[RawRow]:
    import datasets

    if file.startswith(HUB):
        names = file.removeprefix(HUB).split("/")
        name, inside = "/".join(names[:2]), "/".join(names[2:])
        data = datasets.load_dataset(name, data_dir=inside or None, split=split)
    else:
        data = datasets.load_from_disk(file)
        if isinstance(data, datasets.DatasetDict):
            if split not in data:
                raise ValueError(f"{file}: no split {split!r}, only {sorted(data)}")
            data = data[split]
    for number, fields in enumerate(data, start=1):
        yield RawRow(file, number, fields)


def _open(file: str, mode: str = "rb", **options: Any) -> OpenFile:
    fs, path = open_filesystem(file)
    return OpenFile(fs, path, mode, get_compression(path, "infer"), **options)


def _is_dataset(file: str) -> bool:
    fs, path = open_filesystem(file)
    marks = ("dataset_info.json", "dataset_dict.json")
    return any(fs.exists(f"{path.rstrip('/')}/{mark}") for mark in marks)


def kind_of(value: object) -> str:
    """Name of a value's type for a message: null, str, int, list, ..."""
    return "null" if value is None else type(value).__name__
