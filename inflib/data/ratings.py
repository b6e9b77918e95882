"""Ratings and choices of judges, human or machine, read from files.

A ratings file (JSONL, CSV or Parquet) has a row for each comparison, or pair,
and judge:

    comparison_id, a, b             ratings of the responses in canonical order
    pair_id, chosen, rejected       ratings as published: of the responses as they are
                                    called in the source row
    judge                           optional; without it, the file is the judge

A choices file has comparison_id and choice (a, b or tie). Other columns are ignored.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inflib.data.readers import BadRow, RawRow, kind_of, read_rows

CHOICES = ("a", "b", "tie")
_SHAPES = {"comparison_id": ("a", "b"), "pair_id": ("chosen", "rejected")}

Two = tuple[float, float]


@dataclass(frozen=True)
class Ratings:
    """Ratings of two responses each, by comparison and by pair; one Two per judge."""

    by_comparison: Mapping[str, Mapping[str, Two]]
    """{comparison_id: {judge: (rating of a, rating of b)}}."""

    by_pair: Mapping[str, Mapping[str, Two]]
    """{pair_id: {judge: (rating of chosen, rating of rejected)}}."""

    def rating(self, pair_id: str, comparison_id: str, sign: int) -> Two | None:
        """Mean ratings of a and b over all judges; None where no judge rated them.

        sign: +1 when a is the chosen response of the source row of this pair, else -1.
        """
        found = [*self.by_comparison.get(comparison_id, {}).values()]
        for chosen, rejected in self.by_pair.get(pair_id, {}).values():
            found.append((chosen, rejected) if sign > 0 else (rejected, chosen))
        return _mean(found) if found else None

    def scores(self) -> dict[tuple[str, str, str], float]:
        """{(kind of id, id, response): mean over judges}, one for every response."""
        found = {}
        for kind, rated in zip(
            _SHAPES, (self.by_comparison, self.by_pair), strict=True
        ):
            for name, judges in rated.items():
                both = _mean([*judges.values()])
                for response, value in zip(_SHAPES[kind], both, strict=True):
                    found[kind, name, response] = value
        return found


def read_ratings(paths: Sequence[str], between: Two | None = None) -> Ratings:
    """The ratings in some files; `between` is the lowest and the highest allowed.

    Raises ValueError naming file and row of what is not a rating, or comes twice.
    """
    found: dict[str, dict[str, dict[str, Two]]] = {kind: {} for kind in _SHAPES}
    for path in paths:
        for raw in _rows(path):
            kind, name = _identity(raw)
            first, second = (_number(raw, column, between) for column in _SHAPES[kind])
            judge = raw.fields.get("judge")
            judge = path if judge is None else str(judge)
            judges = found[kind].setdefault(name, {})
            if judge in judges:
                raise _error(raw, f"{kind} {name!r} is rated by {judge!r} twice")
            judges[judge] = (first, second)
    return Ratings(found["comparison_id"], found["pair_id"])


def read_choices(path: str) -> dict[str, str]:
    """{comparison_id: a, b or tie}.

    Raises ValueError naming file and row of what is not a choice, or comes twice.
    """
    found: dict[str, str] = {}
    for raw in _rows(path):
        name, choice = raw.fields.get("comparison_id"), raw.fields.get("choice")
        if name is None:
            raise _error(raw, "no comparison_id")
        if choice not in CHOICES:
            raise _error(raw, f"choice must be a, b or tie, not {_shown(choice)}")
        if str(name) in found:
            raise _error(raw, f"comparison_id {str(name)!r} is here twice")
        found[str(name)] = choice
    if not found:
        raise ValueError(f"{path}: no choices in it")
    return found


def _rows(path: str) -> Iterator[RawRow]:
    for raw in read_rows(path, "train"):
        if isinstance(raw, BadRow):
            raise _error(raw, raw.problem)
        yield raw


def _identity(raw: RawRow) -> tuple[str, str]:
    """("comparison_id" or "pair_id", its value), the columns it needs being there."""
    for kind, columns in _SHAPES.items():
        name = raw.fields.get(kind)
        if name is None or not all(column in raw.fields for column in columns):
            continue
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise _error(raw, f"{kind} is {kind_of(name)}, not text")
        return kind, str(name)
    raise _error(
        raw,
        "a rating needs comparison_id, a and b, or pair_id, chosen and rejected; "
        f"there is {sorted(raw.fields)}",
    )


def _number(raw: RawRow, column: str, between: Two | None) -> float:
    value = raw.fields[column]
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except ValueError:
        raise _error(raw, f"{column} is {_shown(value)}, not a number") from None
    if between is not None and not between[0] <= number <= between[1]:
        low, high = between
        raise _error(raw, f"{column} {number:g} is not between {low:g} and {high:g}")
    return number


def _error(raw: RawRow | BadRow, problem: str) -> ValueError:
    return ValueError(f"{raw.file}, row {raw.row}: {problem}")


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 40 else kind_of(value)


def _mean(ratings: list[Two]) -> Two:
    first, second = zip(*ratings, strict=True)
    return math.fsum(first) / len(first), math.fsum(second) / len(second)
