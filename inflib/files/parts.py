"""One large file to parts that different tasks read: byte ranges of JSON lines, row
groups of Parquet. All parts together give the rows of the whole file, numbers and all.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.files.encodings import has_bom
from inflib.files.json_rows import is_row, read_line
from inflib.files.paths import is_dataset, is_named, partitions
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions
from inflib.files.table_rows import read_parquet
from inflib.storage.folder import open_filesystem

TARGET = 64 * 2**20
"""Bytes of a part, about."""

_LINES, _GROUPS = "lines", "row groups"


@dataclass(frozen=True)
class Part:
    """Part of a file: lines that start in a range of bytes, or a range of row
    groups."""

    kind: str
    start: int
    stop: int
    first_row: int
    """Number of its first row; 0: to be counted (`count_lines`)."""


def parts(file: str, options: ReadOptions, target: int = TARGET) -> list[Part]:
    """The parts of a file; none where it is read as a whole."""
    if is_named(file) or is_dataset(file):
        return []
    fs, path = open_filesystem(file)
    size = fs.size(path)
    if size <= target:
        return []
    with fs.open(path, "rb") as data:
        head = data.read(2**20)
        if head.startswith(b"PAR1"):
            return _row_groups(data, target)
    first = head.partition(b"\n")[0].decode("utf-8", "replace")
    plain = options.encoding.lower().replace("-", "") == "utf8" and not has_bom(head)
    if not (plain and b"\n" in head and head.startswith(b"{") and is_row(first)):
        return []
    starts = [*range(0, size, target), size]
    return [Part(_LINES, start, stop, 0) for start, stop in itertools.pairwise(starts)]


def count_lines(file: str, part: Part) -> int:
    """Number of lines that start in a part; 0 for row groups."""
    if part.kind != _LINES:
        return 0
    fs, path = open_filesystem(file)
    with fs.open(path, "rb") as data:
        data.seek(max(0, part.start - 1))
        left, count = part.stop - max(1, part.start), int(part.start == 0)
        while left > 0 and (chunk := data.read(min(left, 2**22))):
            count, left = count + chunk.count(b"\n"), left - len(chunk)
    return count


def numbered(file_parts: list[Part], counts: list[int]) -> list[Part]:
    """Parts with the numbers of their first rows. counts: lines in each."""
    found, row = [], 1
    for part, count in zip(file_parts, counts, strict=True):
        found.append(replace(part, first_row=row) if part.kind == _LINES else part)
        row += count
    return found


def read_part(file: str, part: Part, options: ReadOptions) -> Iterator[RawRow | BadRow]:
    """Rows of a part, in order."""
    columns = partitions(file)
    fs, path = open_filesystem(file)
    with fs.open(path, "rb") as data:
        if part.kind == _LINES:
            rows = _lines(file, data, part, options)
        else:
            groups = range(part.start, part.stop)
            rows = read_parquet(file, data, groups, part.first_row)
        for row in rows:
            if isinstance(row, RawRow) and columns:
                row = RawRow(file, row.row, columns | row.fields)
            yield row


def _lines(
    file: str, data: Any, part: Part, options: ReadOptions
) -> Iterator[RawRow | BadRow]:
    data.seek(max(0, part.start - 1))
    place, number = part.start, part.first_row
    if part.start:
        place += len(data.readline()) - 1
    while place < part.stop and (line := data.readline()):
        if line.strip():
            yield read_line(file, number, line.decode("utf-8", "inflib-mark"), options)
        place, number = place + len(line), number + 1


def _row_groups(data: Any, target: int) -> list[Part]:
    try:
        metadata = pq.ParquetFile(data).metadata
    except (pa.ArrowException, OSError):
        return []  # it is read as a whole, and said to be no Parquet file
    found: list[Part] = []
    start = size = rows = 0
    first = 1
    for i in range(metadata.num_row_groups):
        size += metadata.row_group(i).total_byte_size
        rows += metadata.row_group(i).num_rows
        if size >= target or i == metadata.num_row_groups - 1:
            found.append(Part(_GROUPS, start, i + 1, first))
            start, size, first = i + 1, 0, 1 + rows
    return found if len(found) > 1 else []
