"""The cell that says which of two responses won, to a vote."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.shapes.cells import is_blank, number, share
from inflib.shapes.head import most
from inflib.shapes.judged import TIE, Vote
from inflib.shapes.spellings import plain
from inflib.shapes.words import Side, side_of_word

Reading = tuple[float, float | None]
"""(probability that the first response is better, strength)."""

_SURE: dict[Side, float] = {"a": 1.0, "b": 0.0, "tie": TIE}

_FLAGS = {"true": 1, "yes": 1, "false": 0, "no": 0, "": 0}
"""{word for a vote or none: how many}."""

_RARE = 0.02
"""Share of the cells that a value needs at least to tell the scale: others may be bad
rows."""

FROM_ONE = "from one"
"""Scale of the place of the best of several answers."""

RANKS = "ranks"
"""Scale of two scores of which the lower one is better."""

LISTS = "lists"
"""Cells of the rejected column are lists of responses, as text."""

_GRADED = ("overallpreference", "preferencestrength")
"""Names of columns that hold grades, whose sign says which response is better."""

SCALES: dict[str, tuple[str, Callable[[float], Reading | None]]] = {
    "index": (
        "0: the first response is better, 1: the second",
        lambda v: {0: (1.0, None), 1: (0.0, None)}.get(int(v)) if v % 1 == 0 else None,
    ),
    "one is first": (
        "1: the first response is better, 0: the second",
        lambda v: {1: (1.0, None), 0: (0.0, None)}.get(int(v)) if v % 1 == 0 else None,
    ),
    "number": (
        "1: the first response is better, 2: the second",
        lambda v: {1: (1.0, None), 2: (0.0, None)}.get(int(v)) if v % 1 == 0 else None,
    ),
    "signed": (
        "below 0: the first response is better, above 0: the second, 0: a tie",
        lambda v: (TIE if v == 0 else float(v < 0), abs(v)),
    ),
    "probability": (
        "the probability that the first response is better",
        lambda v: (v, None) if 0 <= v <= 1 else None,
    ),
    "words": ("words", lambda v: None),
    RANKS: ("the response of the lower rank is better", lambda v: None),
    FROM_ONE: ("places of the best answer, counted from 1", lambda v: None),
    LISTS: ("lists of rejected responses", lambda v: None),
}
"""{scale: (what values mean, value to reading)}."""


def scale_of(values: Iterable[Any], column: str, first: str) -> str:
    """The scale of a verdict column, told from its values.

    column: its name; first: name of the first response's column. Raises ValueError
    where the values have no usual meaning.
    """
    cells = [value for value in values if not is_blank(value)]
    if most(str(cell).casefold() in ("true", "false") for cell in cells):
        raise ValueError(
            f"column {column!r} holds true and false, which do not say of which "
            "response: set verdicts, such as {true: a, false: b}"
        )
    numbers = [value for cell in cells if (value := share(cell)) is not None]
    if 2 * len(numbers) <= len(cells):
        return "words"
    counts = Counter(numbers)
    rare = len(numbers) * _RARE
    distinct = {value for value, count in counts.items() if count > rare}
    distinct = distinct or set(numbers)  # many values, each of them rare
    distinct |= {value for value, count in counts.items() if value < 0 and count > 1}
    is_place = column.endswith(("_id", "_index", "_idx"))
    if min(distinct) < 0 and is_place:
        raise ValueError(
            f"column {column!r} holds places and {min(distinct):g}: set verdicts for "
            f"each, such as {{0: a, 1: b, {min(distinct):g}: tie}}"
        )
    if min(distinct) < 0:
        return "signed"
    if plain(column) in _GRADED:
        raise ValueError(
            f"column {column!r} has no grade below 0, so that it may hold sizes or "
            "choices: set verdicts, such as {1: b}"
        )
    counted = not first or first[-1:] == "0" or is_place
    if distinct == {1} and not counted and not first.startswith("human_ref"):
        raise ValueError(
            f"column {column!r} holds 1 alone, the first response or, counted from 0, "
            "the second: set verdicts, {1: a} or {1: b}"
        )
    if distinct <= {0, 1}:
        # Stanford SHP: labels is 1 where human_ref_A is better.
        return "one is first" if first.startswith("human_ref") else "index"
    if distinct <= {1, 2}:
        return "number"
    if max(distinct) <= 1 and distinct - {0, TIE, 1}:
        return "probability"
    shown = ", ".join(f"{value:g}" for value in sorted(distinct)[:8])
    example = {f"{min(distinct):g}": "a"} | {f"{max(distinct):g}": "b"}
    written = ", ".join(f"{value}: {side}" for value, side in example.items())
    raise ValueError(
        f"column {column!r} holds {shown}, which have no usual meaning: set "
        f"verdicts for each, such as {{{written}}}"
    )


def read_verdict(
    value: Any, scale: str, names: tuple[str, str], config: ShapeConfig
) -> Vote:
    """The vote in a verdict cell.

    names: what else the two responses are called, such as the models that wrote them.
    Raises ValueError for a value that says nothing.
    """
    said = config.verdicts.get(str(value)) or config.verdicts.get(_key(value))
    reading: Reading | None = None
    if said is not None:
        reading = _SURE[said], None
    elif is_blank(value):
        raise ValueError("no verdict")
    elif (as_number := share(value)) is not None:
        reading = SCALES[scale][1](as_number)
    if reading is None and isinstance(value, str):
        side = side_of_word(value, names)
        reading = None if side is None else (_SURE[side], None)
    if reading is None:
        shown = value if len(str(value)) <= 40 else f"{str(value)[:37]}..."
        raise ValueError(
            f"verdict {shown!r} is not known: set verdicts {{{_key(value)[:40]}: a}}, "
            "b or tie"
        )
    return vote(*reading)


def vote(first: float, strength: float | None = None) -> Vote:
    """The vote of a probability that the first response is better."""
    if first >= TIE:
        return Vote(0, 1, first, strength)
    return Vote(1, 0, 1 - first, strength)


def counts_by_side(judgments: Any) -> tuple[Any, Any] | None:
    """The numbers of votes in {first: number, second: number}, whatever the two are
    called; None for what is not so."""
    if not isinstance(judgments, dict):
        return None
    sides = {side_of_word(str(name), ("", "")): n for name, n in judgments.items()}
    if not {"a", "b"} <= sides.keys() <= {"a", "b", "tie"}:
        return None
    tied = number(sides.get("tie")) or 0.0
    counts = [number(sides["a"]), number(sides["b"])]
    return tuple(None if n is None else n + tied / 2 for n in counts)  # type: ignore


def vote_by_count(for_first: Any, for_second: Any) -> Vote:
    """The vote of k people for the first and n - k for the second response."""
    counts = [
        number(_FLAGS.get(str(count).casefold(), count))
        for count in (for_first, for_second)
    ]
    if any(count is None or count < 0 for count in counts):
        raise ValueError("numbers of votes that are no numbers")
    first, second = (float(count or 0) for count in counts)
    if first + second == 0:
        raise ValueError("no votes")
    return vote(first / (first + second))


def vote_by_scores(first: Any, second: Any) -> Vote:
    """The vote of two scores; the strength is their difference."""
    scores = [number(first), number(second)]
    if any(score is None for score in scores):
        raise ValueError("scores that are no numbers")
    difference = float(scores[0] or 0) - float(scores[1] or 0)
    first = TIE if difference == 0 else float(difference > 0)
    return vote(first, abs(difference))


def _key(value: Any) -> str:
    """A verdict value as a key of `verdicts`."""
    if isinstance(value, bool) or str(value).casefold() in ("true", "false"):
        return str(value).casefold()
    as_number = None if isinstance(value, str) else number(value)
    return str(value) if as_number is None else f"{as_number:g}"
