"""The address of a folder, local or on S3, to whole-file reads and atomic writes.

A file that is listed is complete: locally it is written under a scratch name, synced
and renamed; on S3 it is a single put. Nothing here knows what files hold.
"""

import contextlib
import errno
import fcntl
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
"""Prefix of names of files that are still being written; left over, they can go."""

_AT_ONCE = 16
"""Requests under way at the same time."""

_ONE_PUT = 2**31
"""Bytes above which s3fs would use a multipart upload, which could be left unfinished;
more than any file here has."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def open_filesystem(
    url: str, hasty: bool = False
) -> tuple[fsspec.AbstractFileSystem, str]:
    """(fsspec file system, path in it) of a URL or local path.

    Requests to S3 are tried again for about three minutes; hasty: for some seconds.
    """
    if not url.startswith("s3://"):
        return fsspec.core.url_to_fs(url)
    from inflib.storage.s3 import HastyS3, PatientS3

    return (HastyS3() if hasty else PatientS3()), url.removeprefix("s3://").rstrip("/")


@dataclass(frozen=True)
class Folder:
    """A folder with its files. Names of files may hold slashes."""

    url: str
    """A local path, s3://bucket/prefix, or another address that fsspec opens."""

    def __truediv__(self, name: str) -> "Folder":
        """The folder of this name inside this one."""
        return Folder(f"{self.url.rstrip('/')}/{name}")

    def _at(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        return open_filesystem(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """Whether the folder is on a file system of this machine."""
        return "://" not in self.url or self.url.startswith("file://")

    def check_access(self) -> None:
        """Write, read and delete a file here.

        Raises an OSError within seconds that names the address and what to check.
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
        """Whether there is a file of this name."""
        fs, path = self._at(name)
        return fs.exists(path)

    def names(self) -> set[str]:
        """Names of the complete files directly in this folder."""
        return self._entries("file")

    def folders(self) -> set[str]:
        """Names of the folders directly in this folder."""
        return self._entries("directory")

    def _entries(self, kind: str) -> set[str]:
        fs, path = self._at("")
        try:
            entries = fs.ls(path.rstrip("/"), detail=True)
        except FileNotFoundError:
            return set()
        names = {Path(entry["name"]).name for entry in entries if entry["type"] == kind}
        return {name for name in names if not name.startswith(SCRATCH)}

    def tree(self) -> dict[str, int]:
        """{path below this folder: size in bytes} of all files, also scratch files."""
        fs, path = self._at("")
        root = path.rstrip("/") + "/"
        files = fs.find(root.rstrip("/"), detail=True)
        return {name.removeprefix(root): info["size"] for name, info in files.items()}

    def half_written(self) -> list[str]:
        """Sorted paths of scratch files below this folder, which a writer left."""
        return sorted(p for p in self.tree() if p.split("/")[-1].startswith(SCRATCH))

    def num_bytes(self) -> int:
        """Size of all files below this folder, in bytes."""
        return sum(self.tree().values())

    def read_bytes(self, name: str) -> bytes:
        """Contents of a file. Raises FileNotFoundError when it is not there."""
        fs, path = self._at(name)
        return fs.cat_file(path)

    def map_bytes(self, name: str) -> mmap.mmap | bytearray:
        """Contents of a file, of which a local one is read only where it is used.

        What is returned can be written to, as torch wants of a buffer; the file stays
        as it is.
        """
        if not self.is_local:
            return bytearray(self.read_bytes(name))
        with open(self._at(name)[1], "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # cannot be mapped
                return bytearray()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def read_json(self, name: str) -> Any:
        """Contents of a JSON file. Raises ValueError naming a file that is not JSON."""
        data = self.read_bytes(name)
        try:
            return json.loads(data)
        except ValueError as error:
            raise ValueError(f"{self.url}/{name}: not valid JSON: {error}") from None

    def read_jsons(self, names: Iterable[str]) -> list[Any]:
        """The values in several JSON files, in the order of `names`."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self.read_json, names))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """The table in a Parquet file, or some of its columns."""
        return pq.read_table(pa.BufferReader(self.read_bytes(name)), columns=columns)

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file, whole or not at all.

        Raises OSError that says what to do when the disk is full or not writable.
        """
        fs, path = self._at(name)
        if not self.is_local:
            fs.pipe_file(path, data, chunksize=_ONE_PUT)
            return
        with _explained(path):
            os.replace(_write_scratch(path, data), path)

    def create(self, name: str, data: bytes) -> None:
        """Create a file; fine when it is there already with the same bytes.

        Raises ValueError when another writer has left different bytes.
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
        """Write a value as a JSON file."""
        self.write(name, (json.dumps(value, indent=1) + "\n").encode())

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a table as one Parquet file; returns the file's SHA-256."""
        data = to_parquet(table)
        self.write(name, data)
        return hashlib.sha256(data).hexdigest()

    def delete(self, *names: str) -> None:
        """Delete files; those that are not there are no error."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._delete, names))

    def _delete(self, name: str) -> None:
        fs, path = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(path)


def to_parquet(table: pa.Table) -> bytes:
    """A table as one Parquet file; equal tables give equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _link_scratch(path: str, data: bytes) -> None:
    """Write a file that must not exist. Raises FileExistsError when it does."""
    scratch = _write_scratch(path, data)
    try:
        os.link(scratch, path)  # fails when the name is taken
    except FileExistsError:
        raise
    except OSError:  # exFAT, SMB and some FUSE have no hard links; each says it its way
        _rename_to_free(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _rename_to_free(scratch: str, path: str) -> None:
    """Rename a file to a name that is free. Raises FileExistsError when it is not.

    Looking and renaming are two steps, so writers lock the folder, which leaves nothing
    behind when one of them is killed. Where a file system knows no locks either, two
    writers at the same moment are not noticed, and one of their files stays, whole.
    """
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.replace(scratch, path)
    finally:
        os.close(folder)  # and unlock


def _write_scratch(path: str, data: bytes) -> str:
    """Write data under a scratch name beside `path`, synced; returns its path."""
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
    """Turns the error of a full or forbidden disk into one that says what to do."""
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
    """Write an array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    folder.write(name, buffer.getvalue())


def read_array(folder: Folder, name: str) -> np.ndarray:
    """The array in a .npy file."""
    return np.load(io.BytesIO(folder.read_bytes(name)), allow_pickle=False)
