"""How well do two judges agree? Ratings or choices, joined by comparison or pair.

    python scripts/judge_agreement.py runs/x/judge/NAME/ratings.jsonl human.csv
    python scripts/judge_agreement.py runs/x/judge/NAME/choices.jsonl human.jsonl

Prints a Markdown table. Ratings: Pearson, Spearman, Cohen's kappa of ratings rounded to
whole numbers (halves up), unweighted and quadratic. Choices: accuracy and kappa.
Formats of the files: inflib/data/ratings.py. Several judges in one file are averaged.
"""

import sys
from collections.abc import Mapping
from typing import Any

from inflib.data.ratings import read_choices, read_ratings
from inflib.files.raw_rows import RawRow
from inflib.files.readers import read_rows
from inflib.judging.agreement import choice_agreement, rating_agreement
from inflib.storage.plain_text import printable


def compared(first: str, second: str) -> dict[str, float | None]:
    """{metric: value} of two files; "n" and "only in one file" count what they share.

    Raises ValueError when one file has ratings and the other choices, or when they have
    nothing in common.
    """
    kinds = {_has_choices(path) for path in (first, second)}
    if len(kinds) > 1:
        raise ValueError(f"{first}, {second}: ratings in one and choices in the other")
    read: Any = read_choices if kinds.pop() else lambda p: read_ratings([p]).scores()
    x, y = read(first), read(second)
    keys = _common_keys(x, y, f"{first}, {second}")
    agreement: Any = choice_agreement if read is read_choices else rating_agreement
    metrics = agreement([x[key] for key in keys], [y[key] for key in keys])
    return {"n": len(keys), "only in one file": len(x.keys() ^ y.keys()), **metrics}


def _common_keys(x: Mapping, y: Mapping, files: str) -> list:
    keys = sorted(x.keys() & y.keys())
    if not keys:
        raise ValueError(f"{files}: no comparison_id (or pair_id) is in both")
    return keys


def _has_choices(path: str) -> bool:
    first = next(read_rows(path), None)
    return isinstance(first, RawRow) and "choice" in first.fields


def table(metrics: Mapping[str, float | None]) -> str:
    """Markdown table of one row."""
    rows = [list(metrics), ["---"] * len(metrics), [*map(_shown, metrics.values())]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: float | None) -> str:
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        print(table(compared(*sys.argv[1:])))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")
