"""A folder of a run, local or on S3: whole-file reads and atomic writes.

A file that is seen is complete: locally it is written under a scratch name, synced and
renamed; an object store's put is whole by itself. Nothing here knows file contents.
"""

import errno
import hashlib
import io
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

SCRATCH = ".scratch-"
"""Prefix of files still being written; never complete, safe to delete."""


@dataclass(frozen=True)
class Folder:
    """`url` is a local path or anything fsspec opens (s3://bucket/prefix)."""

    url: str

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def _at(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        fs, path = fsspec.core.url_to_fs(f"{self.url.rstrip('/')}/{name}")
        return fs, path

    @property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    def exists(self, name: str) -> bool:
        fs, path = self._at(name)
        fs.invalidate_cache()
        return fs.exists(path)

    def names(self) -> set[str]:
        """Names of the complete files directly in this folder."""
        fs, path = self._at("")
        fs.invalidate_cache()  # s3fs remembers listings
        try:
            found = fs.ls(path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return set()
        names = {Path(f["name"]).name for f in found if f["type"] == "file"}
        return {name for name in names if not name.startswith(SCRATCH)}

    def read_bytes(self, name: str) -> bytes:
        fs, path = self._at(name)
        return fs.cat_file(path)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Parquet file as an Arrow table."""
        return pq.read_table(pa.BufferReader(self.read_bytes(name)), columns=columns)

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file, whole or not at all."""
        fs, path = self._at(name)
        if not self.is_local:
            fs.pipe_file(path, data)
            return
        scratch = _write_scratch(path, data)
        os.replace(scratch, path)

    def create(self, name: str, data: bytes) -> None:
        """Create a file that must not exist, or exists with these very bytes.

        Raises ValueError when another writer has left different bytes there.
        """
        fs, path = self._at(name)
        try:
            if self.is_local:
                scratch = _write_scratch(path, data)
                try:
                    os.link(scratch, path)  # fails when the name is taken
                finally:
                    os.unlink(scratch)
            else:
                fs.pipe_file(path, data, mode="create")
        except OSError as error:
            # S3 servers answer a refused If-None-Match in two ways.
            taken = isinstance(error, FileExistsError) or error.errno == errno.EINVAL
            if not taken or not self.exists(name):
                raise
            if self.read_bytes(name) != data:
                raise ValueError(
                    f"{self.url}/{name}: another writer left different contents; "
                    "two runs with different settings share this folder?"
                ) from None

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write an Arrow table as one Parquet file; returns its SHA-256."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self.write(name, buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    def num_bytes(self) -> int:
        """Bytes of all files below this folder."""
        fs, path = self._at("")
        fs.invalidate_cache()
        return fs.du(path.rstrip("/"))

    def delete(self, name: str) -> None:
        fs, path = self._at(name)
        fs.rm_file(path)


def _write_scratch(path: str, data: bytes) -> str:
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{SCRATCH}{uuid.uuid4().hex}"
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return str(scratch)
