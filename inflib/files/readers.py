"""Files of preference data to raw rows: JSON, CSV, Parquet, Arrow, `datasets` folders,
data sets of the hub, generated data (inflib.synthetic.sources).

Nothing that a file holds raises: a row that cannot be read becomes a `BadRow`, and the
rows after it are still read where they can be told. Rows are numbered from 1: lines of
a JSONL file, objects of other JSON, data rows of a CSV or Parquet file, examples of a
dataset.
"""

from collections.abc import Iterator
from typing import Any

from inflib.config.data import SourceConfig
from inflib.files.containers import UnknownFormat, opened
from inflib.files.csv_rows import read_csv
from inflib.files.json_rows import read_json
from inflib.files.paths import is_dataset, partitions
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions, is_of_access
from inflib.files.table_rows import read_arrow, read_dataset, read_parquet
from inflib.storage.plain_text import first_line
from inflib.synthetic import sources

_JSON = (".jsonl", ".json", ".ndjson")
_CSV = (".csv", ".tsv", ".tab")
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_USUAL = ReadOptions()


def options_of(source: SourceConfig) -> ReadOptions:
    """What the recipe says about the files of a pair set."""
    return ReadOptions(source.split, source.encoding, source.delimiter)


def read_rows(file: str, options: ReadOptions = _USUAL) -> Iterator[RawRow | BadRow]:
    """Rows of one file, in order.

    Raises ValueError for a format, a split, an encoding or a generated name that is not
    known, and OSError for a file that is not there, or whose server does not answer.
    """
    if file.startswith(sources.PREFIX):
        for number, fields in enumerate(sources.rows(file), start=1):
            yield RawRow(file, number, fields)
    elif is_dataset(file):
        yield from read_dataset(file, options.split)
    else:
        yield from _read_file(file, options)


def _read_file(file: str, options: ReadOptions) -> Iterator[RawRow | BadRow]:
    columns = partitions(file)
    number = 0
    try:
        with opened(file) as streams:
            for name, stream in streams:
                before = number
                for row in _read(file, name, stream, options):
                    number = before + row.row
                    if isinstance(row, BadRow):
                        yield BadRow(file, number, row.problem)
                    else:
                        yield RawRow(file, number, columns | row.fields)
    except UnknownFormat as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # of whatever decompresses or reads it
        if is_of_access(error):
            raise
        said = first_line(error)
        where = "it" if number == 0 else f"what follows row {number}"
        yield BadRow(file, number + 1, f"damaged, {where} cannot be read: {said}")


def _read(
    file: str, name: str, stream: Any, options: ReadOptions
) -> Iterator[RawRow | BadRow]:
    """Rows of one stream; name: of the file in it, without endings of compression."""
    name = name.lower()
    head = _peeked(stream)
    if head.startswith(b"version https://git-lfs"):
        raise UnknownFormat(f"{file}: a pointer of Git LFS; `git lfs pull` its data")
    if head[257:262] == b"ustar":
        raise UnknownFormat(f"{file}: a tar archive; unpack it, or make it a .zip")
    if head.startswith(b"PAR1") or name.endswith((".parquet", ".pq")):
        return read_parquet(file, stream)
    if head.startswith(_ARROW) or name.endswith((".arrow", ".feather", ".ipc")):
        return read_arrow(file, stream)
    if name.endswith(_JSON):
        return read_json(file, stream, options)
    if name.endswith(_CSV):
        return read_csv(file, stream, options)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\xff\xfe\x00")
    if start.startswith((b"{", b"[")):
        return read_json(file, stream, options)
    first = start.partition(b"\n")[0]
    if any(mark in first for mark in b",\t;"):
        return read_csv(file, stream, options)
    raise UnknownFormat(
        f"{file}: cannot tell its format; name it .jsonl, .json, .csv, .tsv, .parquet "
        "or .arrow (.gz, .bz2, .xz, .zst or .zip after it), or give a `datasets` "
        "folder or hub:NAME"
    )


def _peeked(stream: Any) -> bytes:
    """The first bytes of a stream, which is left at its start."""
    if hasattr(stream, "peek"):
        return stream.peek(4096)[:4096]
    head = stream.read(4096)
    stream.seek(0)
    return head
