"""A folder of a run, local or on S3: whole-file reads and atomic writes.

A file that is seen is complete: locally it is written under a scratch name, synced and
renamed; on S3 every file is one put. Nothing here knows file contents.
"""

import contextlib
import errno
import hashlib
import io
import json
import mmap
import os
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCRATCH = ".scratch-"
"""Prefix of files still being written; never complete, safe to delete."""

_REQUESTS = 16
"""At once."""

_ONE_PUT = 2**31
"""Larger than any file here: no multipart uploads that could be left unfinished."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def open_filesystem(
    url: str, hasty: bool = False
) -> tuple[fsspec.AbstractFileSystem, str]:
    """(file system, path in it). S3 outlasts outages; hasty: of seconds only."""
    if not url.startswith("s3://"):
        return fsspec.core.url_to_fs(url)
    from inflib.storage.s3 import HastyS3, PatientS3

    return (HastyS3() if hasty else PatientS3()), url.removeprefix("s3://").rstrip("/")


@dataclass(frozen=True)
class Folder:
    """`url` is a local path, s3://bucket/prefix, or anything else fsspec opens."""

    url: str

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def _at(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        return open_filesystem(f"{self.url.rstrip('/')}/{name}")

    @property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    def check_access(self) -> None:
        """Write, read and delete a file here.

        Raises OSError that names the address and what to check, within seconds.
        """
        name = f"{SCRATCH}{uuid.uuid4().hex}"
        if self.is_local:
            self.write(name, b"")
            self.delete(name)
            return
        fs, path = open_filesystem(f"{self.url.rstrip('/')}/{name}", hasty=True)
        fs.pipe_file(path, b"access")
        fs.cat_file(path)
        fs.rm_file(path)

    def exists(self, name: str) -> bool:
        fs, path = self._at(name)
        return fs.exists(path)

    def names(self) -> set[str]:
        """Names of the complete files directly in this folder."""
        fs, path = self._at("")
        try:
            found = fs.ls(path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return set()
        names = {Path(f["name"]).name for f in found if f["type"] == "file"}
        return {name for name in names if not name.startswith(SCRATCH)}

    def tree(self) -> dict[str, int]:
        """{path below this folder: bytes} of all files, scratch files among them."""
        fs, path = self._at("")
        root = path.rstrip("/") + "/"
        found = fs.find(root.rstrip("/"), detail=True)
        return {name.removeprefix(root): f["size"] for name, f in found.items()}

    def half_written(self) -> list[str]:
        """Scratch files below this folder that a writer left behind."""
        return sorted(n for n in self.tree() if n.split("/")[-1].startswith(SCRATCH))

    def num_bytes(self) -> int:
        """Bytes of all files below this folder."""
        return sum(self.tree().values())

    def read_bytes(self, name: str) -> bytes:
        fs, path = self._at(name)
        return fs.cat_file(path)

    def map_bytes(self, name: str) -> mmap.mmap | bytearray:
        """A file, read as it is used where it is local. Changes to what is returned
        stay in memory (tensors over it must be able to)."""
        if not self.is_local:
            return bytearray(self.read_bytes(name))
        with open(self._at(name)[1], "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # cannot be mapped
                return bytearray()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def read_jsons(self, names: Iterable[str]) -> list[Any]:
        """Several JSON files, some at a time, in the order of their names."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            return list(pool.map(self.read_json, names))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Parquet file as an Arrow table."""
        return pq.read_table(pa.BufferReader(self.read_bytes(name)), columns=columns)

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file, whole or not at all."""
        fs, path = self._at(name)
        if not self.is_local:
            fs.pipe_file(path, data, chunksize=_ONE_PUT)
            return
        with _explained(path):
            os.replace(_write_scratch(path, data), path)

    def create(self, name: str, data: bytes) -> None:
        """Create a file that must not exist, or exists with these very bytes.

        Raises ValueError when another writer has left different bytes there.
        """
        fs, path = self._at(name)
        try:
            if self.is_local:
                with _explained(path):
                    _link_scratch(path, data)
            else:
                fs.pipe_file(path, data, chunksize=_ONE_PUT, mode="create")
        except FileExistsError:
            if self.read_bytes(name) != data:
                raise ValueError(
                    f"{self.url}/{name}: another writer left different contents; "
                    "two runs with different settings share this folder?"
                ) from None

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write an Arrow table as one Parquet file; returns its SHA-256."""
        data = to_parquet(table)
        self.write(name, data)
        return hashlib.sha256(data).hexdigest()

    def delete(self, *names: str) -> None:
        """Delete files, those that are there."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            list(pool.map(self._delete, names))

    def _delete(self, name: str) -> None:
        fs, path = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(path)


def to_parquet(table: pa.Table) -> bytes:
    """One Parquet file; equal tables, equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _link_scratch(path: str, data: bytes) -> None:
    scratch = _write_scratch(path, data)
    try:
        os.link(scratch, path)  # fails when the name is taken
    finally:
        os.unlink(scratch)


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


@contextlib.contextmanager
def _explained(path: str) -> Any:
    """A full or forbidden disk as one error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OSError(
                error.errno,
                f"no space left to write {path}: free some on that disk, or choose "
                "another --run; rerun to go on, nothing is lost",
            ) from error
        if error.errno in _FORBIDDEN:
            raise PermissionError(
                error.errno, f"cannot write {path}: check its rights, or --run"
            ) from error
        raise


def write_array(folder: Folder, name: str, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    folder.write(name, buffer.getvalue())


def read_array(folder: Folder, name: str) -> np.ndarray:
    return np.load(io.BytesIO(folder.read_bytes(name)), allow_pickle=False)
