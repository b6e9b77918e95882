"""Rows to the file, folder or hub that a target names, as they come.

    x.jsonl          JSON lines
    x.parquet        a row group for each shard
    x/               a folder of datasets.save_to_disk
    hub:owner/name   datasets.push_to_hub, private

A file is written under a scratch name and renamed: one that is there is complete.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.storage.folder import SCRATCH, open_filesystem

Kind = Literal["jsonl", "parquet", "folder", "hub", "csv", "argilla", "label-studio"]

HUB = "hub:"
REVIEW_KINDS: tuple[Kind, ...] = ("csv", "argilla", "label-studio")
_ENDINGS: dict[str, Kind] = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}

Rows = Iterator[list[dict[str, Any]]]


@dataclass(frozen=True)
class Target:
    """Where an export goes."""

    url: str
    kind: Kind

    @property
    def stem(self) -> str:
        """What the files beside it begin with."""
        if self.kind == "hub":
            return self.url.removeprefix(HUB).rpartition("/")[2]
        path = self.url.rstrip("/")
        ending = PurePosixPath(path).suffix
        return path.removesuffix(ending) if ending in _ENDINGS else path

    @property
    def decisions_file(self) -> str:
        return f"{self.stem}.decisions.csv"

    @property
    def counts_file(self) -> str:
        return f"{self.stem}.counts.json"

    def check(self, overwrite: bool) -> None:
        """Raises ValueError where it cannot be written, or is there already."""
        if self.kind == "hub":
            _check_hub(self.url)
            return
        beside = [self.decisions_file, self.counts_file]
        files = [] if self.kind in REVIEW_KINDS else beside
        for url in [self.url, *files]:
            fs, path = open_filesystem(url)
            if not fs.exists(path):
                continue
            is_folder = self.kind in ("folder", "argilla", "label-studio")
            if url == self.url and is_folder != fs.isdir(path):
                raise ValueError(f"--to {url} is a {'file' if is_folder else 'folder'}")
            if url == self.url and is_folder and not fs.ls(path):
                continue
            if not overwrite:
                raise ValueError(
                    f"{url} is there already: choose another --to, or add --overwrite"
                )


def target_of(url: str, chosen: str | None) -> Target:
    """The target that --to and --format name. Raises ValueError for what is none."""
    if chosen in ("argilla", "label-studio"):
        if url.startswith(HUB) or PurePosixPath(url).suffix in _ENDINGS:
            raise ValueError(f"--to {url}: --format {chosen} writes a folder")
        return Target(url, chosen)  # type: ignore[arg-type]
    if url.startswith(HUB):
        parts = url.removeprefix(HUB).split("/")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"--to {url}: a dataset of a hub is hub:owner/name")
        return Target(url, "hub")
    ending = PurePosixPath(url.rstrip("/")).suffix
    if ending in _ENDINGS:
        return Target(url, _ENDINGS[ending])
    if ending and not url.endswith("/") and len(ending) < 8:
        raise ValueError(
            f"--to {url}: the ending {ending} is none of .jsonl, .parquet and .csv; a "
            "folder ends in /"
        )
    if "://" in url:
        raise ValueError(f"--to {url}: a folder of datasets is written on this machine")
    return Target(url.rstrip("/"), "folder")


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
        with fs.open(path, "wb") as file:  # there when it is closed
            yield file
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

    loaded = datasets.Dataset.from_parquet(path, cache_dir=cache)
    if target.kind == "hub":
        loaded.push_to_hub(target.url.removeprefix(HUB), private=True)
    else:
        loaded.save_to_disk(target.url)


def _check_hub(url: str) -> None:
    """Raises ValueError saying what a hub needs before a dataset can go there."""
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"--to {url}: the hub is off: unset HF_HUB_OFFLINE")
    if not huggingface_hub.get_token():
        raise ValueError(
            f"--to {url}: a hub needs a token that may write: run `hf auth login`, or "
            "set HF_TOKEN"
        )
