"""The first rows of a file to its shape.

Raises ValueError, naming the file, its columns and the option to set, where they have
no shape that is known, or where a column that the recipe names is in no row.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.files.raw_rows import RawRow, problem_of
from inflib.shapes import spellings
from inflib.shapes.candidates import Candidates
from inflib.shapes.cells import number, parsed, share
from inflib.shapes.formats import judgment, read
from inflib.shapes.gathering import GATHERED
from inflib.shapes.head import most
from inflib.shapes.messages import is_texts
from inflib.shapes.shape import Columns, Shape
from inflib.shapes.split import shares_start
from inflib.shapes.winners import (
    FROM_ONE,
    LISTS,
    RANKS,
    SCALES,
    counts_by_side,
    scale_of,
)
from inflib.storage.plain_text import printable

_PLAIN_ROLES = (
    "pair_id",
    "labeler",
    "system",
    "tools",
    "chat_template_kwargs",
    "target",
    "strength",
    "weight",
)
"""Roles that any format may have."""


def _are_numbers(values: list[float | None]) -> bool:
    return bool(values) and all(value is not None and value >= 0 for value in values)


def _are_probabilities(values: list[float | None]) -> bool:
    """Whether they are in [0, 1], and not only 0 and 1, which may mean a class."""
    inside = all(value is not None and 0 <= value <= 1 for value in values)
    return inside and not set(values) <= {0, 1}


_NUMBERS: dict[str, Callable[[list[float | None]], bool]] = {
    "target": _are_probabilities,
    "weight": _are_numbers,
    "strength": _are_numbers,
}
"""{role: whether values can be its}, for columns that the recipe does not name."""


def recognise(rows: Sequence[RawRow], config: ShapeConfig, option: str) -> Shape:
    """The shape of a file whose first rows these are.

    option: of the pair set, such as prepare.train, for messages.
    """
    try:
        return _Recognition(rows, config, option).shape()
    except ValueError as error:
        raise ValueError(printable(str(error))) from None  # it names the columns
    except Exception as error:
        raise ValueError(
            f"{rows[0].file}: its shape cannot be told ({problem_of(error)}): set "
            f"{option}.format and {option}.columns"
        ) from error


class _Recognition(Candidates):
    """What is in which column of some rows of one file."""

    def shape(self) -> Shape:
        """The format that was asked for, or the first that fits."""
        formats = {
            "turns": self.turns,
            "message_trees": self.trees,
            "message_rows": self.messages,
            "edits": self.edits,
            "pairs": self.pairs,
            "winner": self.winner,
            "best_of_n": lambda: self.answers("best_of_n", "best"),
            "ranking": lambda: self.answers("ranking", "rank"),
            "ratings": lambda: self.answers("ratings", "score"),
            "rated_rows": self.rated_rows,
        }
        asked = self.config.format
        for name in formats if asked == "auto" else (asked,):
            if columns := formats[name]():
                if name not in ("message_rows", "message_trees", "turns"):
                    columns = self._prompt(columns.values()) | columns
                found = columns | self._plain_roles() | self.given
                shape = Shape(name, found, self._scale(found))
                return replace(shape, facts=self._facts(shape))
        what = "no known shape" if asked == "auto" else f"not the shape {asked!r}"
        raise self.error(f"{what}: {self._missing()}")

    def _missing(self) -> str:
        """What must be set for rows to have a shape."""
        columns = f"set {self.option}.columns"
        if two := self.first_pair(spellings.TWO_ANSWERS):
            return (
                f"{two[0]!r} and {two[1]!r} are two responses, but which column says "
                f"who won? {columns}, {{verdict: NAME}}, or score_a and score_b"
            )
        if answers := self._answer_list():
            return (
                f"{answers['answers']!r} are answers, but which column ranks them? "
                f"{columns}, {{rank: NAME}}, {{score: NAME}} or {{best: NAME}}"
            )
        if response := self.find("response"):
            return (
                f"{response!r} is one response; it takes two to compare, or a score: "
                f"{columns}, {{score: NAME}}, or chosen and rejected"
            )
        if len(self.with_texts()) < 2:
            return (
                "it has no two columns of texts to compare (keys of another file?); if "
                f"it has, {columns}, {{chosen: NAME, rejected: NAME}}"
            )
        return (
            f"{columns}, such as '{{prompt: {self.example(0)}, chosen: "
            f"{self.example(1)}, rejected: {self.example(2)}}}'"
        )

    def _prompt(self, used: Collection[Any]) -> Columns:
        """The column of the prompt; more than one, in their order, where they are
        parts of it. Raises ValueError where they may be."""
        name = self.find("prompt")
        if name in used:  # messages that end in the chosen response
            return {}
        if name is None or "prompt" in self.given:
            return {} if name is None else {"prompt": name}
        asked = [
            column
            for alias in ("prompt", "question", "instruction", "query", "input")
            if (column := self.named(alias)) and self.values(column)
        ]
        parts = [str(name)]
        if asked[:1] == ["instruction"] and asked[-1:] == ["input"]:
            parts = ["instruction", "input"]
        for before in ("history", "context"):
            column = self.named(before) or ""
            cells = self.values(column)
            if not cells or not asked or column in asked:
                continue
            if most(isinstance(parsed(cell), list) for cell in cells):
                return {
                    "prompt": (
                        column,
                        *([p for p in parts if p != column] or asked[:1]),
                    )
                }
            if name == column or before == "history":
                raise self.error(
                    f"columns {column!r} and {asked[0]!r} may both be of the prompt: "
                    f"set {self.option}.columns, {{prompt: [{column}, {asked[0]}]}} or "
                    "one of them"
                )
        return {"prompt": parts[0] if len(parts) == 1 else tuple(parts)}

    def _plain_roles(self) -> Columns:
        found = {role: name for role in _PLAIN_ROLES if (name := self.find(role))}
        for role, fits in _NUMBERS.items():
            if role in found and role not in self.given:
                read = share if role == "target" else number
                values = [read(cell) for cell in self.values(str(found[role]))]
                if not fits(values):
                    del found[role]  # a column of the user's that is called so
        if "system" in found and "system" not in self.given:
            cells = self.values(str(found["system"]))
            if not most(not isinstance(v, str) or len(v.split()) > 1 for v in cells):
                del found["system"]  # names of systems, no text for a model
        return found

    def _facts(self, shape: Shape) -> str:
        """What values mean, how many comparisons a row makes. Raises ValueError where
        most rows have no prompt, and the recipe does not say that there is none."""
        if shape.format in GATHERED:
            return ""
        judged = []
        for row in self.rows:
            with suppress(Exception):  # a bad row
                judged.append(read(row, shape, self.config)[0])
        promptless = [not shares_start(j.answers) for j in judged if j.prompt is None]
        if 2 * sum(promptless) > len(judged) and "prompt" not in self.config.columns:
            raise self.error(
                "no column of a prompt, and responses share no start: set "
                f"{self.option}.columns, such as '{{prompt: {self.example(0)}}}', or "
                "'{prompt: null}' where there is none"
            )
        facts = []
        if shape.scale not in ("", "words"):
            facts.append(SCALES[shape.scale][0])
        longest = max(judged, key=lambda each: len(each.answers), default=None)
        if longest is not None and len(longest.answers) > 2:
            facts.append(
                f"{len(longest.answers)} answers make {len(longest.votes)} comparisons"
            )
        judgments = self.find("judgments")
        lists = judgments and most(
            isinstance(parsed(cell), list | dict)
            for cell in self.values(str(judgments))
        )
        if shape.format == "winner" and lists and "judgments" not in shape.columns:
            facts.append(
                f"one label a row; columns '{{judgments: {judgments}}}' for each"
            )
        return "; ".join(facts)

    def _scale(self, columns: Columns) -> str:
        """What the values of the verdict column mean."""
        if "best" in columns:
            return self._counted_from(Shape("", columns))
        ranks = [self.named(first) for first, _ in spellings.TWO_RANKS]
        if "score_a" in columns and columns["score_a"] in ranks:
            return RANKS
        if "verdict" not in columns and "judgments" not in columns:
            # One answer in JSON is one response; lists in most rows are of several.
            listed = map(
                is_texts, map(parsed, self.values(str(columns.get("rejected"))))
            )
            return LISTS if "rejected" in columns and most(listed) else ""
        names = columns.get("verdict", columns.get("judgments", ""))
        names = (names,) if isinstance(names, str) else names
        if names in spellings.ONE_HOT:
            return "words"
        cells = [cell for name in names for cell in self.values(name)]
        if "judgments" in columns:
            lists = [parsed(cell) for cell in cells]
            lists = [x for x in lists if not counts_by_side(x)]
            asked = "judgments" in self.given
            if not asked and most(map(_are_two_numbers, lists)):
                raise self.error(
                    f"column {names[0]!r} holds two numbers, of two labelers or of the "
                    f"two responses: set {self.option}.columns, {{judgments: "
                    f"{names[0]}}}, or format ratings and {{score: {names[0]}}}"
                )
            if not lists:
                return ""
            cells = [judgment(v, 0)[1] for x in lists for v in _items(x)]
        try:
            return scale_of(cells, names[0], str(columns.get("response_a", "")))
        except ValueError as error:
            if self.config.verdicts:
                return "words"
            raise self.error(f"{error}, in {self.option}") from None

    def _counted_from(self, shape: Shape) -> str:
        """The scale of places of the best answer: they count from 1 where the last
        answer's place is their number, and none is 0."""
        places = [number(shape.cell(row, "best")) for row in self.rows]
        lengths = [len(shape.values(row, "answers") or []) for row in self.rows]
        past = any(a == b > 0 for a, b in zip(places, lengths, strict=True))
        return FROM_ONE if past and 0 not in places else ""


def _items(judgments: Any) -> list[Any]:
    """The judgments in a cell; none where it holds no list."""
    if isinstance(judgments, dict):
        return [*judgments.values()]
    return judgments if isinstance(judgments, list) else []


def _are_two_numbers(judgments: Any) -> bool:
    """Whether they are two plain numbers, such as one for each response."""
    return (
        isinstance(judgments, list)
        and len(judgments) == 2
        and all(isinstance(each, int | float) for each in judgments)
    )
