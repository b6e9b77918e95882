"""The columns of a file's first rows: which there are, what they are called, what they
hold."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.files.raw_rows import RawRow
from inflib.shapes import spellings
from inflib.shapes.cells import MISSING, at, is_blank
from inflib.shapes.shape import Columns, Shape


class Head:
    """The first rows of one file, and what the recipe says about its columns."""

    def __init__(
        self, rows: Sequence[RawRow], config: ShapeConfig, option: str
    ) -> None:
        self.file = rows[0].file if rows else "the file"
        self.rows = [row.fields for row in rows]
        self.config, self.option = config, option
        self.names = list(dict.fromkeys(name for row in self.rows for name in row))
        self.plain = self._plain_names()
        self.given: Columns = {
            role: name for role, name in config.columns.items() if name is not None
        }
        for role, name in self.given.items():
            for one in (name,) if isinstance(name, str) else name:
                self._check_there(role, one)

    def _plain_names(self) -> dict[str, str]:
        """{name without case and punctuation, without the prefix that a labelling tool
        gave it: column}. Where a judge's responses are there, only what it judged."""
        texts = [str(name) for name in self.names]
        judged = [name for name in texts if name.startswith(spellings.JUDGED)]
        if any(name.startswith(f"{spellings.JUDGED}response") for name in judged):
            start = len(spellings.JUDGED)
            return {spellings.plain(name[start:]): name for name in judged}
        found = {spellings.plain(name): name for name in reversed(self.names)}
        nested = [
            f"{outer}.{inner}"
            for outer in spellings.OUTER
            for inner in dict.fromkeys(i for x in self._objects(outer) for i in x)
        ]
        for name in texts + nested:
            if prefix := spellings.PREFIX.match(name):
                found.setdefault(spellings.plain(name[prefix.end() :]), name)
        return found

    def _objects(self, name: str) -> list[dict[str, Any]]:
        """The cells of a column that are objects."""
        cells = (row.get(name) for row in self.rows)
        return [cell for cell in cells if isinstance(cell, dict)]

    def error(self, problem: str) -> ValueError:
        """The error, with the file and its columns."""
        shown = ", ".join(map(str, self.names[:20]))
        more = f" and {len(self.names) - 20} more" if len(self.names) > 20 else ""
        return ValueError(f"{self.file}: {problem}. Its columns: {shown}{more}")

    def find(self, role: str) -> str | tuple[str, ...] | None:
        """Name of a role's column: as the recipe says, or by its usual names."""
        if role in self.config.columns:
            return self.given.get(role)
        return next(
            (
                name
                for alias in spellings.COLUMNS.get(role, ())
                if (name := self.named(alias)) and not self.is_blank(name)
            ),
            None,
        )

    def values(self, name: str) -> list[Any]:
        """The filled cells of a column."""
        cells = (at(row, name) for row in self.rows)
        return [cell for cell in cells if not is_blank(cell)]

    def named(self, alias: str) -> str | None:
        """The column with this name, whatever its case and punctuation."""
        if "." in alias:
            there = any(at(row, alias) is not MISSING for row in self.rows)
            return alias if there else None
        return self.plain.get(spellings.plain(alias))

    def is_blank(self, name: str) -> bool:
        """Whether a column has no value in any row."""
        return not self.values(name)

    def both(self, first: str, second: str) -> Columns | None:
        """The columns of two roles, where there are both."""
        a, b = self.find(first), self.find(second)
        return None if a is None or b is None else {first: a, second: b}

    def first_pair(self, pairs: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        """Names of the first pair of columns that are there and filled."""
        for aliases in pairs:
            first, second = map(self.named, aliases)
            if first and second and not (self.is_blank(first) or self.is_blank(second)):
                return first, second
        return None

    def has_values(self, name: str, role: str) -> bool:
        """Whether a column has a value for each of several answers."""
        return bool(name) and any(
            (values := Shape("", {role: name}).values(row, role))
            and len(values) > 1
            and any(not is_blank(value) for value in values)
            for row in self.rows
        )

    def holds_verdicts(self, name: str) -> bool:
        """Whether the cells of a column are words or numbers, not lists."""
        cells = self.values(name)
        return most(isinstance(cell, str | int | float) for cell in cells)

    def _check_there(self, role: str, name: str) -> None:
        """Raise ValueError for a column of the recipe that no row has."""
        if "[]" in name or "*" in name:
            there = self.has_values(name, role)
        else:
            there = any(at(row, name) is not MISSING for row in self.rows)
        if self.rows and not there:
            near = difflib.get_close_matches(name, map(str, self.names), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.error(f"{self.option}.columns: no column {name!r}{hint}")

    def example(self, place: int) -> str:
        """Name of a column, to show how `columns` is written."""
        columns = self.with_texts()
        return columns[place] if place < len(columns) else "NAME"

    def with_texts(self) -> list[str]:
        """Names of the columns that hold texts of more than a word."""
        return [
            str(name)
            for name in self.names
            if most(len(str(cell).split()) > 1 for cell in self.values(str(name)))
        ]


def most(flags: Iterable[Any]) -> bool:
    """Whether more than half of them are true: single bad rows do not decide."""
    values = [bool(flag) for flag in flags]
    return 2 * sum(values) > len(values)
