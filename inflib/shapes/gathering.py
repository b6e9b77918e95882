"""Answers that stand in rows of their own to one row for each prompt.

    rated_rows     prompt, response, score          -> ratings (rank: ranking)
    message_rows   message_id, parent_id, role, text, rank (OASST)   -> ranking
    message_trees  {text, role, replies: [...]} (OASST's trees)      -> ranking

A file is gathered as a whole; answers in different files are not brought together.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from inflib.files.raw_rows import BadRow, RawRow, problem_of
from inflib.shapes.cells import at, id_text, is_blank, number
from inflib.shapes.shape import Columns, Shape

GATHERED = ("rated_rows", "message_rows", "message_trees")
"""Formats whose rows are gathered before they are read."""

_RANKED: Columns = {
    "prompt": "prompt",
    "answers": "answers[].text",
    "rank": "answers[].rank",
    "pair_id": "pair_id",
}


def gathered(
    rows: Iterable[RawRow | BadRow], shape: Shape
) -> tuple[Iterator[RawRow | BadRow], Shape]:
    """(rows with all answers to a prompt, the shape of these rows)."""
    if shape.format == "rated_rows":
        role = "rank" if "rank" in shape.columns else "score"
        gone = ("response", role)
        columns: Columns = {
            **{role: name for role, name in shape.columns.items() if role not in gone},
            "answers": "answers[].text",
            role: "answers[].score",
        }
        format_ = "ranking" if role == "rank" else "ratings"
        return _rated(rows, shape, role), Shape(format_, columns)
    ranked = Shape("ranking", _RANKED)
    if shape.format == "message_rows":
        return _messages(rows, shape), ranked
    return _trees(rows, shape), ranked


def _rated(
    rows: Iterable[RawRow | BadRow], shape: Shape, role: str
) -> Iterator[RawRow | BadRow]:
    """One row for each prompt, where its first answer stands."""
    by_prompt: dict[str, tuple[RawRow, list[dict[str, Any]]]] = {}
    labelers: dict[str, set[str | None]] = {}
    for raw in rows:
        if isinstance(raw, BadRow):
            yield raw
            continue
        try:
            asked = shape.prompt(raw.fields), shape.cell(raw.fields, "system")
            prompt = json.dumps(asked, sort_keys=True, default=str)
            text, score = (shape.cell(raw.fields, n) for n in ("response", role))
            if str(score).casefold() in ("true", "false"):
                score = str(score).casefold() == "true"
            if is_blank(text) or number(score) is None:
                raise ValueError(
                    f"no {shape.name('response')!r} or no number in "
                    f"{shape.name(role)!r}"
                )
        except Exception as error:  # whatever a row holds, the others are read
            yield BadRow(raw.file, raw.row, problem_of(error))
            continue
        _, answers = by_prompt.setdefault(prompt, (raw, []))
        answers.append({"text": text, "score": score})
        labeler = id_text(shape.cell(raw.fields, "labeler"))
        labelers.setdefault(prompt, set()).add(labeler)
    for prompt, (raw, answers) in by_prompt.items():
        if len(answers) < 2:
            yield BadRow(raw.file, raw.row, "the only answer to its prompt in the file")
            continue
        single = {shape.columns[name] for name in ("response", role)}
        if len(labelers[prompt]) > 1:  # nobody in particular compared the answers
            single.add(shape.columns["labeler"])
        fields = {name: v for name, v in raw.fields.items() if name not in single}
        yield RawRow(raw.file, raw.row, fields | {"answers": answers})


def _messages(
    rows: Iterable[RawRow | BadRow], shape: Shape
) -> Iterator[RawRow | BadRow]:
    """One row for each message with several ranked replies."""
    messages: dict[str, RawRow] = {}
    replies: dict[str, list[RawRow]] = {}
    for raw in rows:
        if isinstance(raw, BadRow):
            yield raw
            continue
        try:
            names = ("message_id", "parent_id")
            message_id, parent = (id_text(raw.fields.get(name)) for name in names)
            if message_id is None or is_blank(raw.fields.get("text")):
                raise ValueError("no message_id or no text")
        except Exception as error:
            yield BadRow(raw.file, raw.row, problem_of(error))
            continue
        messages[message_id] = raw
        if parent is not None:
            replies.setdefault(parent, []).append(raw)
    for parent, children in replies.items():
        path, place, seen = [], parent, set()
        while place in messages and place not in seen:
            seen.add(place)
            path.append(messages[place].fields)
            place = id_text(messages[place].fields.get("parent_id")) or ""
        if len(children) < 2:
            continue
        first = children[0]
        if place:
            problem = f"the message {place!r} that it replies to is not in the file"
            yield BadRow(first.file, first.row, problem)
            continue
        answers = [child.fields for child in children]
        yield _ranked(first, path[::-1], answers)


def _trees(rows: Iterable[RawRow | BadRow], shape: Shape) -> Iterator[RawRow | BadRow]:
    for raw in rows:
        if isinstance(raw, BadRow):
            yield raw
            continue
        try:
            yield from _branches(raw)
        except Exception as error:
            yield BadRow(raw.file, raw.row, problem_of(error))


def _branches(raw: RawRow) -> list[RawRow]:
    """A row for each message of a tree that has several replies."""
    root = raw.fields if "replies" in raw.fields else at(raw.fields, "prompt")
    if not isinstance(root, dict) or not isinstance(root.get("replies"), list):
        raise ValueError("no tree of messages with replies")
    waiting, found = [[root]], list[RawRow]()
    while waiting:
        path = waiting.pop()
        replies = path[-1].get("replies")
        items = replies if isinstance(replies, list) else []
        children = [c for c in items if isinstance(c, dict)]
        if len(children) > 1:
            found.append(_ranked(raw, path, children, str(len(found) + 1)))
        waiting += [[*path, child] for child in reversed(children)]
    if not found:
        raise ValueError("no message with two replies to compare")
    return found


def _ranked(
    raw: RawRow,
    path: list[dict[str, Any]],
    replies: list[dict[str, Any]],
    part: str = "",
) -> RawRow:
    """A row with the dialogue up to here and the replies to it with their ranks.

    part: which of several such rows it is that are made of `raw`.
    """
    prompt = [{"role": m.get("role"), "content": m.get("text")} for m in path]
    answers = [{"text": m.get("text"), "rank": m.get("rank")} for m in replies]
    fields = {
        "prompt": prompt,
        "answers": answers,
        "pair_id": path[-1].get("message_id"),
    }
    return RawRow(raw.file, raw.row, fields, part)
