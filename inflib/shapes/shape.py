"""The shape of a file's rows: what they hold, and in which columns."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from inflib.shapes.cells import MISSING, at, is_blank, parsed
from inflib.storage.plain_text import printable

Columns = dict[str, str | tuple[str, ...]]
"""{our name: name in the data}. `answers[].text` is a field of each answer; `answer_*`
are all columns with such a name, in the order of their numbers."""


@dataclass(frozen=True)
class Shape:
    """How the rows of a file are read; decided once for each file."""

    format: str
    """One of config.shapes.Format, but auto."""

    columns: Columns
    scale: str = ""
    """What values of the verdict mean, a key of winners.SCALES."""

    facts: str = ""
    """What else is worth saying of how rows are read."""

    def to_json(self) -> dict[str, Any]:
        """For sources.json."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> "Shape":
        """The shape that to_json made these fields of."""
        columns = {
            role: tuple(name) if isinstance(name, list) else name
            for role, name in fields["columns"].items()
        }
        return Shape(fields["format"], columns, fields["scale"], fields["facts"])

    def cell(self, fields: dict[str, Any], role: str) -> Any:
        """The value of a role's column in a row; MISSING without one."""
        name = self.columns.get(role)
        return MISSING if name is None else at(fields, _one(name))

    def name(self, role: str) -> str:
        """Name of a role's column, for messages."""
        name = self.columns.get(role, role)
        return name if isinstance(name, str) else " + ".join(name)

    def prompt(self, fields: dict[str, Any]) -> Any:
        """The cell with the prompt, None without a prompt column; texts of several
        columns are joined by a blank line, and follow a list of turns. Raises
        ValueError where it is blank."""
        names = self.columns.get("prompt")
        if names is None:
            return None
        names = (names,) if isinstance(names, str) else names
        cells = [cell for name in names if not is_blank(cell := at(fields, name))]
        if not cells:
            raise ValueError(f"no prompt in {self.name('prompt')!r}")
        if len(cells) == 1:
            return cells[0]
        history = parsed(cells[0])
        if not isinstance(history, list):
            return "\n\n".join(map(str, cells))
        return [*_turns(history), {"role": "user", "content": "\n\n".join(cells[1:])}]

    def values(self, fields: dict[str, Any], role: str) -> list[Any] | None:
        """One value for each answer, of a role's column; None where there are none."""
        name = self.columns.get(role)
        if name is None:
            return None
        name = _one(name)
        if "[]" in name:
            items_name, _, inside = name.partition("[]")
            items = parsed(at(fields, items_name))
            if not isinstance(items, list):
                return None
            inside = inside.removeprefix(".")
            return [at(item, inside) if inside else item for item in items]
        if "*" in name:
            numbered = matching(name, fields)
            start = name.index("*")
            marks = [column[start:] for column in numbered]
            others = [
                [column[other.index("*") :] for column in matching(other, fields)]
                for other in map(_one, self.columns.values())
                if "*" in other
            ]
            if any({*other} != {*marks} for other in others):
                raise ValueError(f"columns {name!r} have other numbers in this row")
            return [fields[column] for column in numbered] or None
        value = parsed(at(fields, name))
        return value if isinstance(value, list) else None


_SAID = {
    "pairs": "chosen and rejected responses",
    "winner": "two responses and a winner",
    "ranking": "ranked answers",
    "ratings": "rated answers",
    "best_of_n": "answers of which one is best",
    "edits": "an edited response better than the others",
    "turns": "dialogues with two responses in each turn",
    "rated_rows": "one rated answer in each row",
    "message_rows": "messages with ranked replies",
    "message_trees": "trees of messages with ranked replies",
}
"""{format: its name in words}."""


def describe(shape: Shape) -> str:
    """The shape in words, with the columns that are used."""
    if not shape.columns:
        return "nothing: no row can be read"
    columns = [f"{role}: {shape.name(role)}" for role in shape.columns]
    if shape.facts:
        columns.append(shape.facts)
    return f"{_SAID[shape.format]} ({printable('; '.join(columns))})"


def matching(pattern: str, names: Any) -> list[str]:
    """Names that fit a pattern with one `*` for a number, in the order of numbers."""
    start, _, end = pattern.partition("*")
    regex = re.compile(re.escape(start) + r"(\d+)" + re.escape(end))
    found = [(int(m[1]), name) for name in names if (m := regex.fullmatch(str(name)))]
    return [name for _, name in sorted(found)]


def _turns(history: list[Any]) -> list[Any]:
    """Messages of a history, also of one that is a list of [question, answer]."""
    turns: list[Any] = []
    for turn in history:
        if isinstance(turn, list) and len(turn) == 2:
            roles = zip(("user", "assistant"), turn, strict=True)
            turns += [{"role": role, "content": text} for role, text in roles]
        else:
            turns.append(turn)
    return turns


def _one(name: str | tuple[str, ...]) -> str:
    return name if isinstance(name, str) else name[0]
