"""The first rows of a file to its shape.

Raises ValueError, naming the file, its columns and the option to set, where they have
no shape that is known, or where a column that the recipe names is in no row.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.files.raw_rows import RawRow
from inflib.shapes import spellings
from inflib.shapes.cells import at, parsed
from inflib.shapes.formats import read
from inflib.shapes.gathering import GATHERED
from inflib.shapes.head import Head, most
from inflib.shapes.messages import is_texts
from inflib.shapes.shape import Columns, Shape, matching
from inflib.shapes.split import shares_start
from inflib.shapes.winners import SCALES, scale_of

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


def recognise(rows: Sequence[RawRow], config: ShapeConfig, option: str) -> Shape:
    """The shape of a file whose first rows these are.

    option: of the pair set, such as prepare.train, for messages.
    """
    return _Recognition(rows, config, option).shape()


class _Recognition(Head):
    """What is in which column of some rows of one file."""

    def shape(self) -> Shape:
        """The format that was asked for, or the first that fits."""
        formats = {
            "turns": self._turns,
            "message_trees": self._trees,
            "message_rows": self._messages,
            "edits": self._edits,
            "pairs": self._pairs,
            "winner": self._winner,
            "best_of_n": lambda: self._answers("best_of_n", "best"),
            "ranking": lambda: self._answers("ranking", "rank"),
            "ratings": lambda: self._answers("ratings", "score"),
            "rated_rows": self._rated_rows,
        }
        asked = self.config.format
        for name in formats if asked == "auto" else (asked,):
            if columns := formats[name]():
                if name not in ("message_rows", "message_trees", "turns"):
                    columns = self._prompt() | columns
                found = columns | self._plain_roles() | self.given
                shape = Shape(name, found, self._scale(found))
                return replace(shape, facts=self._facts(shape))
        what = "no known shape" if asked == "auto" else f"not the shape {asked!r}"
        raise self.error(
            f"{what}: set {self.option}.columns, such as '{{prompt: {self.example(0)}"
            f", chosen: {self.example(1)}, rejected: {self.example(2)}}}'"
        )

    def _pairs(self) -> Columns | None:
        found = self.both("chosen", "rejected")
        if found is None:
            return None
        cells = self.values(str(found["chosen"]))
        two = self.first_pair(spellings.TWO_ANSWERS)
        if two and most(spellings.side_of_word(str(cell), two) for cell in cells):
            return None  # words for one of two other columns
        if not most(isinstance(cell, str | list | dict) for cell in cells):
            return None
        scores = self.first_pair((("score_chosen", "score_rejected"),))
        if scores:
            found |= {"score_a": scores[0], "score_b": scores[1]}
        return found

    def _edits(self) -> Columns | None:
        edited, found = self.find("edited"), self._pairs()
        return None if edited is None or not found else {**found, "edited": edited}

    def _winner(self) -> Columns | None:
        found = self.both("response_a", "response_b")
        pair = self.first_pair(spellings.TWO_ANSWERS)
        if found is None and pair and not self._has_third(*pair):
            found = {"response_a": pair[0], "response_b": pair[1]}
        if found is None:
            answers = self._answer_list()
            counts = {
                len(values)
                for row in self.rows
                if answers and (values := Shape("", answers).values(row, "answers"))
            }
            found = answers if counts == {2} else None
        if found is None:
            return None
        verdict = self._verdict(set(found.values()))
        return None if verdict is None else found | verdict

    def _has_third(self, first: str, second: str) -> bool:
        """Whether more columns are numbered, or lettered, as two responses are."""
        following = {"1": "2", "2": "3", "b": "c", "B": "C"}.get(second[-1:])
        return bool(following) and second[:-1] + str(following) in self.names

    def _verdict(self, used: set[Any]) -> Columns | None:
        """Where the winner is said."""
        for role in ("verdict", "judgments"):
            if role in self.given:
                return {role: self.given[role]}
        for names in spellings.ONE_HOT:
            if all(name in self.names for name in names):
                return {"verdict": names}
        for alias in spellings.VERDICTS:
            name = self.named(alias)
            if name and name not in used and self.holds_verdicts(name):
                return {"verdict": name}
        raters = [
            name
            for name in self.names
            if spellings.RATERS.match(str(name)) and self.holds_verdicts(name)
        ]
        if len(raters) > 1:
            return {"verdict": tuple(raters)}
        for roles in (("votes_a", "votes_b"), ("score_a", "score_b")):
            if found := self.both(*roles):
                return found
        if scores := self.first_pair(spellings.TWO_SCORES):
            return {"score_a": scores[0], "score_b": scores[1]}
        judgments = self.find("judgments")
        return None if judgments is None else {"judgments": judgments}

    def _answers(self, name: str, role: str) -> Columns | None:
        """A list of answers, and for each a number; or the place of the best one."""
        answers = self._answer_list()
        if answers is None:
            return None
        if role in self.given:
            return answers | {role: self.given[role]}
        if role != "best":
            items = str(answers["answers"]).partition("[]")[0]
            for alias in spellings.COLUMNS[role]:
                inside = f"{items}[].{alias}"
                numbered = f"{alias}_*"
                candidates = [inside, numbered]
                candidates += [self.named(alias) or ""]
                for candidate in candidates:
                    if self.has_values(candidate, role):
                        return answers | {role: candidate}
            return None
        best = self.find(role)
        return None if best is None else answers | {role: best}

    def _answer_list(self) -> Columns | None:
        """The list of answers, or numbered columns with one each."""
        if "answers" in self.given:
            return {"answers": self.given["answers"]}
        for alias in spellings.COLUMNS["answers"]:
            name = self.named(alias)
            lists = [parsed(cell) for cell in self.values(name)] if name else []
            lists = [items for items in lists if isinstance(items, list)]
            if 2 * len(lists) <= len(self.rows):
                continue
            if most(map(is_texts, lists)):
                return {"answers": f"{name}[]"}
            for inside in spellings.COLUMNS["response"] + ("content", "messages"):
                if most(isinstance(i, dict) and inside in i for x in lists for i in x):
                    return {"answers": f"{name}[].{inside}"}
            if most(isinstance(item, list | dict) for x in lists for item in x):
                return {"answers": f"{name}[]"}
        for stem in spellings.COLUMNS["response"]:
            pattern = f"{stem}_*"
            if len(matching(pattern, self.names)) > 2:
                return {"answers": pattern}
        return None

    def _rated_rows(self) -> Columns | None:
        found = self.both("response", "score")
        return found if found and self.find("prompt") else None

    def _messages(self) -> Columns | None:
        needed = ("message_id", "parent_id", "text", "role", "rank")
        return {"rank": "rank"} if all(n in self.names for n in needed) else None

    def _trees(self) -> Columns | None:
        roots = [row if "replies" in row else at(row, "prompt") for row in self.rows]
        trees = [
            isinstance(r, dict) and isinstance(r.get("replies"), list) for r in roots
        ]
        return {"rank": "rank"} if most(trees) else None

    def _turns(self) -> Columns | None:
        name = self.find("turns")
        lists = [parsed(v) for v in self.values(name)] if isinstance(name, str) else []
        needed = [spellings.COLUMNS[role] for role in ("chosen", "rejected")]
        fits = most(
            isinstance(items, list)
            and any(
                isinstance(item, dict)
                and all(any(n in item for n in ns) for ns in needed)
                for item in items
            )
            for items in lists
        )
        return {"turns": name} if name and fits else None

    def _prompt(self) -> Columns:
        name = self.find("prompt")
        if (
            name == "instruction"
            and "input" in self.names
            and not self.is_blank("input")
        ):
            return {"prompt": ("instruction", "input")}
        return {} if name is None else {"prompt": name}

    def _plain_roles(self) -> Columns:
        return {role: name for role in _PLAIN_ROLES if (name := self.find(role))}

    def _facts(self, shape: Shape) -> str:
        """What values mean, how many comparisons a row makes. Raises ValueError where
        most rows have no prompt, and the recipe does not say that there is none."""
        if shape.format in GATHERED:
            return ""
        judged = []
        for row in self.rows:
            with suppress(ValueError):  # a bad row
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
        if "verdict" not in columns and "judgments" not in columns:
            return ""
        names = columns.get("verdict", columns.get("judgments", ""))
        names = (names,) if isinstance(names, str) else names
        if names in spellings.ONE_HOT:
            return "words"
        cells = [cell for name in names for cell in self.values(name)]
        if "judgments" in columns:
            lists = [parsed(cell) for cell in cells]
            cells = [
                v for x in lists for v in (x.values() if isinstance(x, dict) else x)
            ]
            cells = [_inside(cell) for cell in cells]
        try:
            return scale_of(cells, names[0], str(columns.get("response_a", "")))
        except ValueError as error:
            if self.config.verdicts:
                return "words"
            raise self.error(f"{error}, in {self.option}") from None


def _inside(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return next(
        (item[n] for n in (*spellings.VERDICTS, "score", "value") if n in item), None
    )
