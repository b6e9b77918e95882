"""JSON in every layout to rows: one object a line, an array, objects that are spread
over lines or follow each other.

Lines are read one by one, so that a broken one costs one row. In the other layouts
nothing is read after a broken object, since its end is not known.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

from inflib.files.encodings import decoded, problem_in
from inflib.files.json_tables import rows_inside
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions, kind_of

_CHUNK = 2**20
_BETWEEN = " \t\r\n,"
"""Characters between the objects of an array, or of a file."""


def read_json(
    file: str, stream: Any, options: ReadOptions
) -> Iterator[RawRow | BadRow]:
    """Rows of JSON text; numbered by lines, or by objects where these span lines. The
    rows in an object that is alone in its file are numbered from 1."""
    rows = _rows(file, stream, options)
    first = next(rows, None)
    second = next(rows, None)
    if second is None and isinstance(first, RawRow):
        try:
            inside = rows_inside(first.fields, options.split)
        except ValueError as error:
            yield BadRow(file, 0, str(error))
            return
        if inside is not None:
            for number, value in enumerate(inside, start=1):
                yield as_row(file, number, value)
            return
    yield from (row for row in (first, second) if row is not None)
    yield from rows


def _rows(file: str, stream: Any, options: ReadOptions) -> Iterator[RawRow | BadRow]:
    text = decoded(stream, options.encoding, "\n")
    blank = 0
    for line in text:
        if line.strip():
            break
        blank += 1
    else:
        return
    if is_row(line):
        yield from _lines(file, line, text, blank, options)
    else:
        yield from _objects(file, line, text, options)


def is_row(first: str) -> bool:
    """Whether a first line is a row of its own, whole or broken, and not the start of
    an array or of an object that goes on."""
    stripped = first.strip()
    if stripped.startswith("["):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(stripped)
    except (ValueError, RecursionError):
        return not stripped.endswith(("{", "[", ",", ":"))
    return not stripped[end:].strip(_BETWEEN)  # or else another object follows it


def parse(line: str) -> Any:
    """The value of a line, with or without a comma behind it."""
    return json.loads(line.strip().removesuffix(","))


def _lines(
    file: str, first: str, rest: Iterator[str], blank: int, options: ReadOptions
) -> Iterator[RawRow | BadRow]:
    number, line = blank + 1, first
    while True:
        if line.strip():
            yield read_line(file, number, line, options)
        following = next(rest, None)
        if following is None:
            return
        number, line = number + 1, following


def read_line(
    file: str, number: int, line: str, options: ReadOptions
) -> RawRow | BadRow:
    """The row in a line of JSON."""
    if problem := problem_in(line, options.encoding):
        return BadRow(file, number, f"broken JSON: {problem}")
    try:
        return as_row(file, number, parse(line))
    except RecursionError:
        return BadRow(file, number, "broken JSON: nested too deep")
    except ValueError as error:
        return BadRow(file, number, f"broken JSON: {_said(error)}")


def as_row(file: str, number: int, value: Any) -> RawRow | BadRow:
    """The row that a JSON value is."""
    if isinstance(value, dict):
        return RawRow(file, number, value)
    return BadRow(file, number, f"not an object but {kind_of(value)}")


def _objects(
    file: str, first: str, text: io.TextIOBase, options: ReadOptions
) -> Iterator[RawRow | BadRow]:
    """Rows of an array, or of objects one after the other."""
    decoder, number = json.JSONDecoder(), 0
    buffer, ended = first, False
    wanted, is_open = 1, False
    while True:
        buffer = buffer.lstrip(_BETWEEN)
        if not is_open and buffer.startswith("["):
            is_open, buffer = True, buffer[1:]
            continue
        if is_open and buffer.startswith("]"):
            is_open, buffer = False, buffer[1:]
            continue
        if not buffer or len(buffer) < wanted:
            chunk = text.read(max(_CHUNK, len(buffer)))
            buffer, ended = buffer + chunk, ended or not chunk
            if ended and not buffer.strip(_BETWEEN):
                if is_open:
                    yield BadRow(file, number + 1, "broken JSON: the array has no end")
                return
            wanted = 1 if ended else wanted
            continue
        try:
            value, end = decoder.raw_decode(buffer)
            whole = ended or end < len(buffer)  # a number may go on
        except RecursionError:
            yield _stop(file, number + 1, "nested too deep")
            return
        except ValueError as error:
            if ended:
                yield _stop(file, number + 1, _said(error))
                return
            whole = False
        if not whole:
            wanted = len(buffer) + 1
            continue
        number, wanted = number + 1, 1
        if problem := problem_in(buffer[:end], options.encoding):
            yield BadRow(file, number, f"broken JSON: {problem}")
        else:
            yield as_row(file, number, value)
        buffer = buffer[end:]


def _stop(file: str, number: int, problem: str) -> BadRow:
    return BadRow(
        file, number, f"broken JSON: {problem}; nothing from this object on was read"
    )


def _said(error: ValueError) -> str:
    return str(error).partition("; use sys.set_int_max")[0]
