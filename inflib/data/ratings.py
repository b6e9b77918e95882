"""Files of judges (people or models) to ratings of responses, and to choices.

A ratings file (JSONL, CSV or Parquet) has a row for each comparison and judge, or for
each pair and judge:

    comparison_id, a, b             ratings of the responses in canonical order
    pair_id, chosen, rejected       ratings as published: of the responses that the
                                    input row with this pair_id calls so
    judge                           optional; without it, the file is the judge

A choices file has comparison_id and choice (a, b or tie). Other columns are ignored.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inflib.files.raw_rows import BadRow, RawRow, kind_of
from inflib.files.readers import read_rows

CHOICES = ("a", "b", "tie")
_COLUMNS = {"comparison_id": ("a", "b"), "pair_id": ("chosen", "rejected")}
"""{kind of id: columns of the two ratings}."""

TwoRatings = tuple[float, float]


@dataclass(frozen=True)
class Ratings:
    """Ratings of both responses, by comparison and by pair, each by its judges."""

    by_comparison: Mapping[str, Mapping[str, TwoRatings]]
    """{comparison_id: {judge: (rating of a, rating of b)}}."""

    by_pair: Mapping[str, Mapping[str, TwoRatings]]
    """{pair_id: {judge: (rating of chosen, rating of rejected)}}."""

    def rating(self, pair_id: str, comparison_id: str, sign: int) -> TwoRatings | None:
        """Ratings of responses a and b, means over all judges; None without a judge.

        sign: +1 when the input row with this pair_id chooses a, -1 when it chooses b.
        """
        ratings = [*self.by_comparison.get(comparison_id, {}).values()]
        for chosen, rejected in self.by_pair.get(pair_id, {}).values():
            ratings.append((chosen, rejected) if sign > 0 else (rejected, chosen))
        return _mean(ratings) if ratings else None

    def scores(self) -> dict[tuple[str, str, str], float]:
        """{(kind of id, id, response): mean rating over judges} of every response.

        kind of id: comparison_id, with response a or b; or pair_id, with chosen or
        rejected.
        """
        scores = {}
        for kind, by_id in zip(
            _COLUMNS, (self.by_comparison, self.by_pair), strict=True
        ):
            for name, judges in by_id.items():
                means = _mean([*judges.values()])
                for response, mean in zip(_COLUMNS[kind], means, strict=True):
                    scores[kind, name, response] = mean
        return scores


def read_ratings(paths: Sequence[str], between: TwoRatings | None = None) -> Ratings:
    """The ratings in these files, all together.

    between: lowest and highest rating allowed. Raises ValueError naming file and row of
    what is no rating, or comes twice from one judge.
    """
    ratings: dict[str, dict[str, dict[str, TwoRatings]]] = {k: {} for k in _COLUMNS}
    for path in paths:
        for raw in _rows(path):
            kind, name = _identity(raw)
            first, second = (_number(raw, column, between) for column in _COLUMNS[kind])
            judge = raw.fields.get("judge")
            judge = path if judge is None else str(judge)
            judges = ratings[kind].setdefault(name, {})
            if judge in judges:
                raise _error(raw, f"{kind} {name!r} is rated by {judge!r} twice")
            judges[judge] = (first, second)
    return Ratings(ratings["comparison_id"], ratings["pair_id"])


def read_choices(path: str) -> dict[str, str]:
    """The choices in a file, {comparison_id: a, b or tie}.

    Raises ValueError naming file and row of what is no choice, or comes twice; also for
    a file without choices.
    """
    choices: dict[str, str] = {}
    for raw in _rows(path):
        name, choice = raw.fields.get("comparison_id"), raw.fields.get("choice")
        if name is None:
            raise _error(raw, "no comparison_id")
        if choice not in CHOICES:
            raise _error(raw, f"choice must be a, b or tie, not {_shown(choice)}")
        if str(name) in choices:
            raise _error(raw, f"comparison_id {str(name)!r} is here twice")
        choices[str(name)] = choice
    if not choices:
        raise ValueError(f"{path}: no choices in it")
    return choices


def _rows(path: str) -> Iterator[RawRow]:
    """Rows of a file. Raises ValueError for one that cannot be read."""
    for raw in read_rows(path):
        if isinstance(raw, BadRow):
            raise _error(raw, raw.problem)
        yield raw


def _identity(raw: RawRow) -> tuple[str, str]:
    """(kind of id, id) of a row with the two ratings that this kind needs."""
    for kind, columns in _COLUMNS.items():
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


def _number(raw: RawRow, column: str, between: TwoRatings | None) -> float:
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


def _mean(ratings: list[TwoRatings]) -> TwoRatings:
    first, second = zip(*ratings, strict=True)
    return math.fsum(first) / len(first), math.fsum(second) / len(second)
