"""Delimited text to rows: commas, tabs, semicolons or bars; quotes doubled or, as Spark
writes them, behind a backslash.

After an error inside a quoted field nothing is read: where the field ends is not known,
and its text would be taken for rows.
"""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from inflib.files.encodings import decoded, problem_in
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions, check_names

csv.field_size_limit(sys.maxsize)

_DELIMITERS = (",", "\t", ";", "|")
_HEAD = 2**18
"""Characters that delimiter and escapes are told from."""

_SAID = re.compile(r"sep=(.)\r?\n")
"""First line by which Excel is told the delimiter."""

_BEFORE_QUOTE = re.compile(r'(\\+)"')
_UNNAMED = re.compile(r"Unnamed: \d+")
"""Name that pandas gives to a column without one, such as an index."""


def read_csv(file: str, stream: Any, options: ReadOptions) -> Iterator[RawRow | BadRow]:
    """Rows of delimited text with a header; numbered from 1 below the header.

    Columns without a name are left out; so are empty fields behind the last column.
    """
    text = decoded(stream, options.encoding, "")
    head = text.read(_HEAD)
    delimiter = options.delimiter
    if said := _SAID.match(head):
        head = head[said.end() :]
    if delimiter == "auto" and said:
        delimiter = said[1]
    elif delimiter == "auto":
        delimiter = _delimiter(head, file)
    lines: Iterable[str] = _rejoined(head, text)
    if _has_backslashes(head, delimiter):
        lines = map(_doubled, lines)
    rows = csv.reader(
        lines,
        delimiter=delimiter,
        strict=True,
        skipinitialspace=_has_blanks(head, delimiter),
    )
    number = 0
    try:
        names = next(rows, [])
        while names == []:  # blank lines before the header
            names = next(rows)
        columns = {i: name for i, name in enumerate(names) if _is_named(i, name)}
        try:
            check_names(columns.values())
        except ValueError as error:
            yield BadRow(file, 0, str(error))
            return
        for fields in rows:
            if not fields:
                continue
            number += 1
            yield _row(file, number, fields, columns, len(names), options)
    except StopIteration:
        return
    except csv.Error as error:
        yield BadRow(
            file,
            number + 1,
            f"broken CSV: {error}; nothing from this row on was read",
        )


def _row(
    file: str,
    number: int,
    fields: list[str],
    columns: dict[int, str],
    width: int,
    options: ReadOptions,
) -> RawRow | BadRow:
    if any(field.strip() for field in fields[width:]):
        return BadRow(file, number, "more fields than the header names")
    cells = [*fields, *[None] * (width - len(fields))]
    values = {name: cells[i] for i, name in columns.items()}
    for value in values.values():
        if value and (problem := problem_in(value, options.encoding)):
            return BadRow(file, number, problem)
    return RawRow(file, number, values)


def _is_named(place: int, name: str) -> bool:
    return bool(name.strip()) and not (place == 0 and _UNNAMED.fullmatch(name))


def _delimiter(head: str, file: str) -> str:
    """The delimiter that the header has most often outside quotes."""
    if ".tsv" in file or ".tab" in file:
        return "\t"
    header = re.sub(r'"[^"]*"', "", head.lstrip().partition("\n")[0])
    return max(_DELIMITERS, key=header.count)


def _has_blanks(head: str, delimiter: str) -> bool:
    """Whether blanks stand behind all delimiters of the header: they are no part of a
    field, and quotes may follow them."""
    _, *names = head.lstrip().partition("\n")[0].split(delimiter)
    return bool(names) and all(name.startswith(" ") for name in names)


def _has_backslashes(head: str, delimiter: str) -> bool:
    """Whether quotes stand behind backslashes: the rows are whole if so read, and
    broken if not."""
    if '\\"' not in head:
        return False
    return _flaws(head, delimiter) > _flaws(_doubled(head), delimiter)


def _flaws(head: str, delimiter: str) -> int:
    """Rows of other lengths than the header's, and an error; the last row, which may
    be cut off, apart."""
    widths, error = [], 0
    try:
        for fields in csv.reader(io.StringIO(head), delimiter=delimiter, strict=True):
            widths.append(len(fields))
    except csv.Error as problem:
        error = "unexpected end" not in str(problem)
    return error + sum(width != widths[0] for width in widths[1:-1] if width)


def _doubled(text: str) -> str:
    """Text with quotes doubled that stand behind a backslash.

    An odd number of backslashes escapes the quote, an even one stands for half as many
    backslashes, as in Spark.
    """

    def replace(match: re.Match[str]) -> str:
        backslashes = len(match[1])
        return "\\" * (backslashes // 2) + ('""' if backslashes % 2 else '"')

    return _BEFORE_QUOTE.sub(replace, text)


def _rejoined(head: str, text: io.TextIOBase) -> Iterator[str]:
    """Lines of a text whose head has been read, with their ends."""
    lines = io.StringIO(head, newline="").readlines()
    last = lines.pop() if lines else ""
    yield from lines
    yield from io.StringIO(last + text.readline(), newline="").readlines()
    yield from text
