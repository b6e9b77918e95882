"""The columns that each format would be read from, if a file has them."""

from typing import Any

from inflib.shapes import spellings
from inflib.shapes.cells import at, is_blank, number, parsed
from inflib.shapes.head import Head, most
from inflib.shapes.messages import is_texts
from inflib.shapes.shape import Columns, Shape, matching
from inflib.shapes.words import side_of_word


class Candidates(Head):
    """For each format, {role: column} of a file's columns; None where it has not
    all."""

    def pairs(self) -> Columns | None:
        """Columns of chosen and rejected responses."""
        found = self.both("chosen", "rejected") or self._beside_rejected()
        if found is None:
            return None
        cells = self.values(str(found["chosen"]))
        two = self.first_pair(spellings.TWO_ANSWERS)
        if two and self._point_at(str(found["chosen"]), two):
            return None
        if self._answer_list() and most(
            number(str(cell)) is not None for cell in cells
        ):
            return None  # places in a list
        if not most(isinstance(cell, str | list | dict) for cell in cells):
            return None
        scores = self.first_pair(spellings.CHOSEN_SCORES)
        if scores:
            found |= {"score_a": scores[0], "score_b": scores[1]}
        return found

    def _point_at(self, name: str, two: tuple[str, str]) -> bool:
        """Whether a column holds words, numbers or names of models that stand for one
        of two other columns."""
        models = [(row.get("model_a"), row.get("model_b")) for row in self.rows]
        cells = [at(row, name) for row in self.rows]
        return most(
            cell in names
            or number(str(cell)) is not None
            or side_of_word(str(cell), two)
            for cell, names in zip(cells, models, strict=True)
            if not is_blank(cell)
        ) and not most(
            cell in (at(row, two[0]), at(row, two[1]))
            for cell, row in zip(cells, self.rows, strict=True)
        )

    def _beside_rejected(self) -> Columns | None:
        """A response beside a `rejected_response`; or the messages that end in it."""
        rejected = self.find("rejected")
        if not isinstance(rejected, str) or "chosen" in self.config.columns:
            return None
        stem = spellings.plain(rejected).removeprefix("rejected")
        chosen = self.plain.get(stem)
        if chosen is None and stem == "response":
            chosen = self.plain.get("messages")
        return {"chosen": chosen, "rejected": rejected} if chosen else None

    def edits(self) -> Columns | None:
        """Columns of an edited response beside them."""
        edited, found = self.find("edited"), self.pairs()
        return None if edited is None or not found else {**found, "edited": edited}

    def winner(self) -> Columns | None:
        """Columns of two responses, and of who won."""
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
        words = [
            name
            for name in map(str, self.names)
            if name not in used
            and spellings.SAYS_WINNER.match(name.casefold())
            and self._names_sides(name, used)
        ]
        if len(words) == 1:
            return {"verdict": words[0]}
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
        votes = self.first_pair(spellings.TWO_VOTES)
        if votes and all(map(self._holds_votes, votes)):
            return {"votes_a": votes[0], "votes_b": votes[1]}
        if scores := self.first_pair(spellings.TWO_SCORES + spellings.TWO_RANKS):
            return {"score_a": scores[0], "score_b": scores[1]}
        if judgments := self.find("judgments"):
            return {"judgments": judgments}
        if words:
            raise self.error(
                f"columns {words[0]!r} and {words[1]!r} both say who won: set "
                f"{self.option}.columns, {{verdict: {words[0]}}}, or [{words[0]}, "
                f"{words[1]}] for a label of each"
            )
        for alias in spellings.LAST_VERDICTS:
            name = self.named(alias)
            if name and self.holds_verdicts(name):
                return {"verdict": name}
        return None

    def _holds_votes(self, name: str) -> bool:
        """Whether the cells of a column are counts, or say true and false."""
        cells = self.values(name)
        return most(
            number(cell) is not None or str(cell).casefold() in ("true", "false")
            for cell in cells
        )

    def _names_sides(self, name: str, used: set[Any]) -> bool:
        """Whether the cells of a column are words for one of two responses."""
        first, second = (*map(str, used), "", "")[:2]
        cells = self.values(name)
        return most(
            isinstance(cell, str) and side_of_word(cell, (first, second))
            for cell in cells
        )

    def answers(self, name: str, role: str) -> Columns | None:
        """A list of answers, and for each a number; or the place of the best one."""
        answers = self._answer_list()
        if answers is None:
            return None
        if role in self.given:
            return answers | {role: self.given[role]}
        if role != "best":
            items, is_list, _ = str(answers["answers"]).partition("[]")
            items = f"{items}[]" if is_list else items.rpartition(".")[0]
            for alias in spellings.COLUMNS[role]:
                inside = f"{items}.{alias}"
                numbered = f"{alias}_*"
                candidates = [inside, numbered]
                candidates += [self.named(alias) or ""]
                for candidate in candidates:
                    if self.has_values(candidate, role):
                        if candidate not in (inside, numbered):
                            self._check_order(candidate)
                        return answers | {role: candidate}
            flags = (f"{items}.{alias}" for alias in spellings.COLUMNS["flag"])
            flag = (
                next(filter(self._are_flags, flags), None) if role == "score" else None
            )
            return answers | {role: flag} if flag else None
        best = self.find(role)
        return None if best is None else answers | {role: best}

    def _check_order(self, name: str) -> None:
        """Raise ValueError for a list that may say in which order answers are, and not
        which rank each one has."""
        lists = [parsed(cell) for cell in self.values(name)]
        orders = [sorted(x) for x in lists if isinstance(x, list) and None not in x]
        places = [x in ([*range(len(x))], [*range(1, len(x) + 1)]) for x in orders]
        if spellings.plain(name) in ("ranking", "order") and most(places):
            raise self.error(
                f"column {name!r} holds the rank of each answer, or the answers in "
                f"their order: set {self.option}.columns, {{rank: {name}}}, if each "
                "answer's rank stands at its place"
            )

    def _answer_list(self) -> Columns | None:
        """The list of answers, or numbered columns with one each."""
        if "answers" in self.given:
            return {"answers": self.given["answers"]}
        for alias in spellings.COLUMNS["answers"]:
            name = self.named(alias)
            lists = [parsed(cell) for cell in self.values(name)] if name else []
            for inside in spellings.COLUMNS["response"]:
                if most(isinstance(x, dict) and is_texts(x.get(inside)) for x in lists):
                    return {"answers": f"{name}.{inside}"}
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

    def rated_rows(self) -> Columns | None:
        """Columns of one answer and its score, or its rank."""
        response, score = self.find("response"), self.find("score") or self._flag()
        role, value = ("score", score) if score else ("rank", self.named("rank"))
        if response is None or value is None or self.find("prompt") is None:
            return None
        return {"response": response, role: value}

    def _are_flags(self, name: str) -> bool:
        """Whether a field of each answer says whether it is good."""
        lists = [Shape("", {"score": name}).values(row, "score") for row in self.rows]
        flags = [flag for values in lists for flag in values or []]
        return bool(flags) and all(isinstance(flag, bool) for flag in flags)

    def _flag(self) -> str | None:
        """A column that says of each answer whether it is good."""
        for alias in spellings.COLUMNS["flag"]:
            name = self.named(alias)
            cells = self.values(name) if name else []
            if cells and all(
                isinstance(cell, bool)
                or str(cell).casefold() in ("true", "false")
                or (alias != "label" and cell in (0, 1, "0", "1"))
                for cell in cells
            ):
                return name
        return None

    def messages(self) -> Columns | None:
        """The ranks of messages that name their parents."""
        needed = ("message_id", "parent_id", "text", "role", "rank")
        return {"rank": "rank"} if all(n in self.names for n in needed) else None

    def trees(self) -> Columns | None:
        """The ranks in messages that hold their replies."""
        roots = [row if "replies" in row else at(row, "prompt") for row in self.rows]
        trees = [
            isinstance(r, dict) and isinstance(r.get("replies"), list) for r in roots
        ]
        return {"rank": "rank"} if most(trees) else None

    def turns(self) -> Columns | None:
        """The column of turns with two responses."""
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
