"""What reading a file gives: rows as they are, and rows that cannot be used."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RawRow:
    """One row as it is in its file."""

    file: str
    row: int
    """Number of the row, from 1."""

    fields: dict[str, Any]
    """{column: value}."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    file: str
    row: int
    """Number of the row, from 1; 0 when the whole file cannot be read."""

    problem: str


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
