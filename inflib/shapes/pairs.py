"""Raw rows of any shape to labels: prompt, chosen and rejected response.

What is tokenised is prompt + response. A *comparison* is the prompt with its two
responses in canonical order, a < b as text. A *label* is one verdict on it, with sign
+1 when the chosen response is a, and -1 when it is b.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.files.raw_rows import BadRow, RawRow, problem_of
from inflib.shapes.cells import id_text, parsed
from inflib.shapes.chats import split_chat
from inflib.shapes.formats import read
from inflib.shapes.joined_texts import split_text
from inflib.shapes.judged import TIE, Judged, Vote
from inflib.shapes.messages import Dialogue, dialogue, is_texts, paired_turns
from inflib.shapes.row_facts import context_of, kept_of
from inflib.shapes.shape import Shape
from inflib.shapes.special_tokens import unguarded
from inflib.shapes.split import Context, Render, Split

_PROMPT_DIGITS = 12
"""Leading digits of a comparison_id that stand for its prompt."""

TIED = "tie"
"""Problem of a label that is left out as a tie."""


@dataclass(frozen=True)
class Pair:
    """One label with its texts, before tokenisation."""

    file: str
    row: int
    """Row in the file, from 1."""

    pair_id: str | None
    """The row's id, with the vote's name where the row has several; None without."""

    name: str
    """What tells the label from the others of its row; empty where it is alone."""

    texts: Split
    target: float
    """Probability that the chosen response is better; 0.5: a tie."""

    weight: float
    """Factor of the label's loss."""

    strength: float | None
    """How much better the chosen response is, on the scale of the data."""

    extra: dict[str, Any]
    """{name: value} of the row's other columns, which are kept beside the label."""

    @property
    def prompt(self) -> str:
        return unguarded(self.texts.prompt)

    @property
    def chosen(self) -> str:
        return unguarded(self.texts.chosen)

    @property
    def rejected(self) -> str:
        return unguarded(self.texts.rejected)

    @property
    def is_chat(self) -> bool:
        """The texts were made from messages, by the chat template."""
        return self.texts.is_chat

    @property
    def sign(self) -> int:
        """+1: response a was chosen; -1: b."""
        return 1 if self.chosen < self.rejected else -1

    @property
    def responses(self) -> tuple[str, str]:
        """(a, b): the responses in canonical order, a < b."""
        return min(self.chosen, self.rejected), max(self.chosen, self.rejected)

    @property
    def messages(self) -> str | None:
        """JSON {prompt, a, b: lists of messages, arguments: of the chat template}; None
        where the texts were not made from messages."""
        if self.texts.messages is None:
            return None
        kept = json.loads(self.texts.messages)
        sides = kept["chosen"], kept["rejected"]
        a, b = sides if self.sign > 0 else sides[::-1]
        values = {"prompt": kept["prompt"], "a": a, "b": b}
        values["arguments"] = kept["arguments"]
        return json.dumps(values, ensure_ascii=False)

    @property
    def prompt_key(self) -> str:
        """What the prompt is told apart by; equal for equal messages on any day."""
        return self.texts.keys[0]

    @cached_property
    def comparison_id(self) -> str:
        """32 hex digits: 12 of the prompt's hash, 20 of the hash of all three keys.

        Sorting by it brings the comparisons of a prompt together.
        """
        prompt, chosen, rejected = self.texts.keys
        keys = [chosen, rejected] if self.sign > 0 else [rejected, chosen]
        digest = hashlib.sha256(prompt.encode(errors="surrogatepass"))
        whole = hashlib.sha256(json.dumps([prompt, *keys]).encode())
        return digest.hexdigest()[:_PROMPT_DIGITS] + whole.hexdigest()[:20]


def prompt_of(comparison_id: str) -> str:
    """The digits of a comparison_id that stand for its prompt: equal for comparisons of
    one prompt, different for those of two."""
    return comparison_id[:_PROMPT_DIGITS]


def to_pairs(
    raw: RawRow, shape: Shape, config: ShapeConfig, render: Render
) -> Iterator[Pair | BadRow]:
    """The labels in a raw row, each a pair or a BadRow that says what is wrong.

    render: the chat template, for rows of messages. Nothing that a row contains raises.
    """
    try:
        context = context_of(raw.fields, shape, config)
        row_id = id_text(shape.cell(raw.fields, "pair_id"))
        extra = kept_of(raw.fields, shape)
        for judged in read(raw.fields, shape, config):
            for vote in judged.votes:
                yield _pair(raw, judged, vote, row_id, extra, context, config, render)
    except Exception as error:  # whatever a row holds, the others are read
        yield BadRow(raw.file, raw.row, problem_of(error))


def _pair(
    raw: RawRow,
    judged: Judged,
    vote: Vote,
    row_id: str | None,
    extra: dict[str, Any],
    context: Context,
    config: ShapeConfig,
    render: Render,
) -> Pair | BadRow:
    if vote.target == TIE and config.ties == "drop":
        return BadRow(raw.file, raw.row, TIED)
    try:
        answers = judged.answers[vote.better], judged.answers[vote.worse]
        texts = _split(judged.prompt, answers, context, config, render)
        named = [row_id or "", vote.name, vote.labeler or "", *texts.marks]
        for text in (*texts.keys, texts.prompt, texts.chosen, texts.rejected, *named):
            text.encode()  # raises for a lone surrogate
        weight = context.weight
        if config.strength == "weight" and vote.strength and vote.target != TIE:
            weight *= vote.strength
        if weight and not 1e-9 <= weight <= 1e9:
            raise ValueError(f"a weight of {weight:g}, not 0 or within 1e-9 and 1e9")
    except Exception as error:
        return BadRow(raw.file, raw.row, problem_of(error))
    if vote.labeler is not None:
        extra = extra | {"labeler": vote.labeler}
    if vote.strength is not None:
        extra = extra | {"strength": vote.strength}
    return Pair(
        raw.file,
        raw.row,
        f"{row_id}:{vote.name}" if row_id and vote.name else row_id,
        f"{raw.part}:{vote.name}" if raw.part else vote.name,
        texts,
        vote.target,
        weight,
        vote.strength,
        extra,
    )


def _split(
    prompt: Any,
    answers: tuple[Any, Any],
    context: Context,
    config: ShapeConfig,
    render: Render,
) -> Split:
    """The texts of two answers."""
    if answers[0] == answers[1]:
        raise ValueError("identical responses")
    user, first, second = (parsed(cell) for cell in (prompt, *answers))
    asked: Dialogue | None
    chosen: Dialogue
    rejected: Dialogue
    if is_texts(user) and is_texts(first) and is_texts(second):
        # Texts of the user's turns and of each side's answers to them.
        asked, chosen, rejected = (
            None,
            paired_turns(user, first),
            paired_turns(user, second),
        )
    elif is_texts(user) and isinstance(first, list) and isinstance(second, list):
        raise ValueError("lists of turns of which one is no text")
    else:
        asked = None if prompt is None else dialogue(prompt, "prompt")
        chosen = dialogue(answers[0], "chosen")
        rejected = dialogue(answers[1], "rejected")
    if (
        config.texts == "joined"
        and isinstance(chosen, str)
        and isinstance(rejected, str)
        and not isinstance(asked, list)
    ):
        split = split_text(asked, chosen, rejected, context, config)
    else:
        split = split_chat(asked, chosen, rejected, context, config, render)
    if split.chosen == split.rejected:
        raise ValueError("identical responses")
    return split
