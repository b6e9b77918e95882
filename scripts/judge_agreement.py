"""How well do two judges agree? Ratings or choices, joined by comparison or pair.

    python scripts/judge_agreement.py runs/x/judge/NAME/ratings.jsonl human.csv
    python scripts/judge_agreement.py runs/x/judge/NAME/choices.jsonl human.jsonl

Prints a Markdown table. Ratings: Pearson, Spearman, Cohen's kappa of whole ratings
(halves up), unweighted and quadratic. Choices: accuracy and kappa. Formats of the
files: inflib/data/ratings.py. Several judges in one file are averaged.
"""

import sys
from collections.abc import Mapping
from typing import Any

from inflib.data.ratings import read_choices, read_ratings
from inflib.data.readers import RawRow, read_rows
from inflib.judging.agreement import choice_agreement, rating_agreement


def compared(first: str, second: str) -> dict[str, float | None]:
    """{figure: value}; "n" and "only in one file" say how many were joined.

    Raises ValueError when the files are of different kinds or have nothing in common.
    """
    kinds = {_has_choices(path) for path in (first, second)}
    if len(kinds) > 1:
        raise ValueError(f"{first}, {second}: ratings in one and choices in the other")
    read: Any = read_choices if kinds.pop() else lambda p: read_ratings([p]).scores()
    x, y = read(first), read(second)
    both = _joined(x, y, f"{first}, {second}")
    agreement: Any = choice_agreement if read is read_choices else rating_agreement
    figures = agreement([x[key] for key in both], [y[key] for key in both])
    return {"n": len(both), "only in one file": len(x.keys() ^ y.keys()), **figures}


def _joined(x: Mapping, y: Mapping, files: str) -> list:
    both = sorted(x.keys() & y.keys())
    if not both:
        raise ValueError(f"{files}: no comparison_id (or pair_id) is in both")
    return both


def _has_choices(path: str) -> bool:
    first = next(read_rows(path, "train"), None)
    return isinstance(first, RawRow) and "choice" in first.fields


def table(figures: Mapping[str, float | None]) -> str:
    """Markdown, one row."""
    rows = [list(figures), ["---"] * len(figures), [*map(_shown, figures.values())]]
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
        sys.exit(f"error: {error}")
