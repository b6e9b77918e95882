"""What reading a file gives: rows as they are, and rows that cannot be used."""

import errno
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inflib.storage.plain_text import printable


@dataclass(frozen=True)
class RawRow:
    """One row as it is in its file."""

    file: str
    row: int
    """Number of the row, from 1."""

    fields: dict[str, Any]
    """{column: value}."""

    part: str = ""
    """Which of several rows that were made of this one; empty where it is alone."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    file: str
    row: int
    """Number of the row, from 1; 0 when the whole file cannot be read."""

    problem: str
    """Made printable: it may quote what the row holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "problem", printable(self.problem))


@dataclass(frozen=True)
class ReadOptions:
    """What a recipe says about its files, beside where they are."""

    split: str = "train"
    """Of a hub data set or a DatasetDict folder."""

    encoding: str = "utf-8"
    """Of text files without a byte-order mark."""

    delimiter: str = "auto"
    """Between the fields of a CSV file; auto: told from its header."""


def kind_of(value: object) -> str:
    """Name of a value's type for a message: null, str, int, list, ..."""
    return "null" if value is None else type(value).__name__


def problem_of(error: Exception) -> str:
    """One line that says what is wrong with a row."""
    if isinstance(error, UnicodeEncodeError):
        return "not valid Unicode (a lone surrogate)"
    if isinstance(error, RecursionError):
        return "nested too deep"
    lines = str(error).splitlines() or [""]
    if isinstance(error, ValueError) and lines[0]:
        return lines[0]
    return f"cannot be read: {type(error).__name__} {lines[0][:200]}".rstrip()


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError where two columns have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"two columns are named {name!r}")


def is_of_access(error: Exception) -> bool:
    """Whether an error is not due to what a file holds: it may be gone, forbidden, or
    on a server that does not answer, and its rows are not bad ones."""
    if isinstance(error, MemoryError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, FileNotFoundError | PermissionError):
        return True
    # EINVAL: a damaged archive names a place before its start
    return getattr(error, "errno", None) not in (None, errno.EINVAL)
