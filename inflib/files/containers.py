"""A file to its bytes, decompressed by what it holds, whatever its name says."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inflib.storage.folder import open_filesystem

_HEAD = 262
"""Bytes at the start of a file that tell what it is."""

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip", ".snappy")
"""Endings of names that say how a file is compressed."""


_READ = (
    *(".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".tab", ".txt"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc"),
)
"""Suffixes of the files that are read in a folder or an archive; and those named
part-..., which Spark may write without one."""

_ABOUT = ("dataset_info.json", "dataset_infos.json")
"""Names of files of the hub and of training tools that describe data."""


class UnknownFormat(ValueError):
    """A file whose format neither its name nor its contents tell."""


def holds_rows(name: str) -> bool:
    """Whether a file of a folder or an archive is one of data."""
    name = name.rpartition("/")[2]
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    is_read = name.endswith(_READ) or bool(re.match(r"part-\d+", name))
    return is_read and name not in _ABOUT


@contextmanager
def opened(file: str) -> Iterator[list[tuple[str, Any]]]:
    """The (name, bytes) of what is in a file: one stream, or one for each file in a
    zip archive, in the order of their names. Raises OSError or ValueError for a file
    that cannot be opened."""
    fs, path = open_filesystem(file)
    with fs.open(path, "rb") as raw:
        yield _contents(raw, file)


def _contents(raw: Any, file: str) -> list[tuple[str, Any]]:
    head = raw.read(_HEAD)
    raw.seek(0)
    name = file
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    if head.startswith(b"PK\x03\x04"):
        archive = zipfile.ZipFile(raw)
        members = [
            member
            for member in archive.namelist()
            if not member.endswith("/")
            and not any(part.startswith((".", "__")) for part in member.split("/"))
        ]
        if "[Content_Types].xml" in members:
            raise UnknownFormat(f"{file}: a workbook; save its sheet as CSV")
        members = [*filter(holds_rows, members)] or members
        streams: list[tuple[str, Any]] = []
        for member in sorted(members):
            streams += _contents(io.BytesIO(archive.read(member)), member)
        return streams
    return [(name, _decompressed(raw, head))]


def _decompressed(raw: Any, head: bytes) -> Any:
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(raw)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        decompressor = zstandard.ZstdDecompressor()
        reader: Any = decompressor.stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(reader)
    return raw
