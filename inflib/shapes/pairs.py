"""Raw rows of any input format to preference pairs: prompt, chosen, rejected.

Formats: TRL's preference data, with an explicit prompt or with an implicit one (both
responses repeat it), as text or as chat messages; Anthropic HH's dialogues, text in
which turns start with "\\n\\nHuman:" and "\\n\\nAssistant:".

What is tokenised is prompt + response. A *comparison* is the prompt with its two
responses in canonical order, a < b as text. A *label* is one verdict on it, with sign
+1 when the chosen response is a, and -1 when it is b.
"""

import hashlib
import json
import os.path
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inflib.files.readers import BadRow, RawRow, kind_of

OURS = ("prompt", "chosen", "rejected", "pair_id")
"""Columns of a row that are not kept as they are, by our names."""

ASSISTANT = "\n\nAssistant:"
HUMAN = "\n\nHuman:"

_PROMPT_DIGITS = 12
"""Leading digits of a comparison_id that stand for its prompt."""

Message = dict[str, Any]
Render = Callable[[list[Message], bool], str]
"""A chat template: (messages, whether to add the generation prompt) to text."""


@dataclass(frozen=True)
class Pair:
    """One label with its texts, before tokenisation."""

    file: str
    row: int
    """Row in the file, from 1."""

    pair_id: str | None
    """The row's id; None for a row without one."""

    prompt: str
    chosen: str
    rejected: str
    is_chat: bool
    """The texts were made from messages, by the chat template."""

    extra: dict[str, Any]
    """{name: value} of the row's other columns, which are kept beside the label."""

    @property
    def sign(self) -> int:
        """+1: response a was chosen; -1: b."""
        return 1 if self.chosen < self.rejected else -1

    @property
    def responses(self) -> tuple[str, str]:
        """(a, b): the responses in canonical order, a < b."""
        return min(self.chosen, self.rejected), max(self.chosen, self.rejected)

    @property
    def comparison_id(self) -> str:
        """32 hex digits: 12 of the prompt's hash, 20 of the hash of all three texts.

        Sorting by it brings the comparisons of a prompt together.
        """
        prompt = hashlib.sha256(self.prompt.encode(errors="surrogatepass"))
        whole = hashlib.sha256(json.dumps([self.prompt, *self.responses]).encode())
        return prompt.hexdigest()[:_PROMPT_DIGITS] + whole.hexdigest()[:20]


def prompt_of(comparison_id: str) -> str:
    """The digits of a comparison_id that stand for its prompt: equal for comparisons of
    one prompt, different for those of two."""
    return comparison_id[:_PROMPT_DIGITS]


def to_pair(raw: RawRow, columns: dict[str, str], render: Render) -> Pair | BadRow:
    """The pair in a raw row, or a BadRow that says what is wrong with it.

    columns: {our name of a column: its name in the row}, where these differ; render:
    the chat template, for rows of messages.
    """
    names = {ours: columns.get(ours, ours) for ours in OURS}
    fields = {ours: raw.fields.get(name) for ours, name in names.items()}
    try:
        for ours in ("chosen", "rejected"):
            if fields[ours] is None:
                raise ValueError(f"no field {names[ours]!r}")
        if fields["chosen"] == fields["rejected"]:
            raise ValueError("identical responses")
        is_chat = isinstance(fields["chosen"], list)
        if is_chat:
            prompt, chosen, rejected = _split_chat(fields, names, render)
        else:
            prompt, chosen, rejected = _split_text(fields, names)
        if not chosen.strip() or not rejected.strip():
            empty = "chosen" if not chosen.strip() else "rejected"
            raise ValueError(f"empty response in {names[empty]!r}")
        if chosen == rejected:
            raise ValueError("identical responses")
        (prompt + chosen + rejected).encode()  # raises for a lone surrogate
        pair_id = fields["pair_id"]
        if pair_id is not None and not isinstance(pair_id, str | int):
            raise ValueError(f"{names['pair_id']!r} is {kind_of(pair_id)}, not text")
        extra = _extra(raw.fields, set(names.values()))
    except UnicodeEncodeError:
        return BadRow(raw.file, raw.row, "not valid Unicode (a lone surrogate)")
    except ValueError as error:
        return BadRow(raw.file, raw.row, str(error))
    return Pair(
        raw.file,
        raw.row,
        None if pair_id is None else str(pair_id),
        prompt,
        chosen,
        rejected,
        is_chat,
        extra,
    )


def _split_text(fields: dict[str, Any], names: dict[str, str]) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of a row of text."""
    for ours in ("prompt", "chosen", "rejected"):
        if not isinstance(fields[ours], str) and fields[ours] is not None:
            raise ValueError(f"{names[ours]!r} is {kind_of(fields[ours])}, not text")
    chosen, rejected = fields["chosen"], fields["rejected"]
    if fields["prompt"] is not None:
        return fields["prompt"], chosen, rejected
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071
    if chosen.startswith(HUMAN) and rejected.startswith(HUMAN):
        cut = shared.rfind(ASSISTANT)
        if cut < 0:
            raise ValueError("the dialogues share no '\\n\\nAssistant:' turn")
        cut += len(ASSISTANT)
    else:
        # Cut where a word starts, so that neither response is empty.
        starts = (space.end() for space in re.finditer(r"\s+", shared))
        cut = max(
            (i for i in starts if chosen[i:].strip() and rejected[i:].strip()),
            default=0,
        )
    return shared[:cut], chosen[cut:], rejected[cut:]


def _split_chat(
    fields: dict[str, Any], names: dict[str, str], render: Render
) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of a row of messages: the prompt is all that the two
    dialogues share, with what the template puts before an answer."""
    messages: dict[str, list[Message]] = {}
    for ours in ("prompt", "chosen", "rejected"):
        value = fields[ours] if fields[ours] is not None else []
        if not isinstance(value, list) or not all(map(_is_message, value)):
            raise ValueError(
                f"{names[ours]!r} is not a list of {{role, content}} messages, as "
                f"{names['chosen']!r} is"
            )
        messages[ours] = value
    for ours in ("chosen", "rejected"):
        if not messages[ours] or not messages[ours][-1]["content"].strip():
            raise ValueError(f"empty response in {names[ours]!r}")
    chosen = messages["prompt"] + messages["chosen"]
    rejected = messages["prompt"] + messages["rejected"]
    if chosen == rejected:
        raise ValueError("identical responses")
    turns = 0
    while turns < min(len(chosen), len(rejected)) and chosen[turns] == rejected[turns]:
        turns += 1
    texts = [render(chosen, False), render(rejected, False)]
    prompt = render(chosen[:turns], True) if turns else ""
    if not all(text.startswith(prompt) for text in texts):
        # An unusual template: a whole dialogue does not start with its rendered prompt.
        prompt = os.path.commonprefix([prompt, *texts])  # noqa: RUF071
    return prompt, texts[0][len(prompt) :], texts[1][len(prompt) :]


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("role"), str)
        and isinstance(value.get("content"), str)
    )


def _extra(fields: dict[str, Any], used: set[str]) -> dict[str, Any]:
    """{name: value} of the other columns, which are kept; nested values as JSON text.

    used: names of the columns that make the pair.
    """
    extra = {}
    for name, value in fields.items():
        if name in used:
            continue
        if not isinstance(value, str | int | float | bool | None):
            value = json.dumps(value, default=str)
        if isinstance(value, str):
            value.encode()  # raises for a lone surrogate
        extra[name] = value
    return extra
