"""A prompt and two responses, ready to be tokenised, and what is unusual about them."""

import os.path
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from inflib.shapes.messages import dialogue, turn_key

Render = Callable[..., str]
"""A chat template: (messages, whether to add the generation prompt, **arguments) to
text. Raises ValueError for messages that it refuses."""


@dataclass(frozen=True)
class Context:
    """What a row says beside its prompt and its responses."""

    system: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    """Arguments of the chat template: tools, and the row's chat_template_kwargs."""

    weight: float = 1.0
    """Factor of the loss of the row's labels."""


@dataclass(frozen=True)
class Split:
    """Two responses to one prompt, before tokenisation."""

    prompt: str
    chosen: str
    rejected: str
    is_chat: bool
    """The texts were made from messages, by the chat template."""

    keys: tuple[str, str, str]
    """What prompt, chosen and rejected are told apart by: the texts, or the messages,
    which stay the same where a chat template prints the date."""

    marks: tuple[str, ...]
    """What is unusual about them, by name."""

    messages: str | None = None
    """The messages that the texts were made from: JSON {prompt, chosen, rejected: lists
    of messages, arguments: of the chat template}; None for texts that never were
    any."""


def empty_response(chosen: str) -> ValueError:
    """The error of two responses of which one is blank."""
    return ValueError(
        f"empty response in {'rejected' if chosen.strip() else 'chosen'!r}"
    )


def shares_start(answers: list[Any]) -> bool:
    """Whether the first two answers start with the same turn, or with the same word:
    then their prompt is what they share."""
    try:
        first, second = (dialogue(answer, "answer") for answer in answers[:2])
    except ValueError:
        return True  # a bad row
    if isinstance(first, str) and isinstance(second, str):
        shared = os.path.commonprefix([first, second])  # noqa: RUF071
        return bool(shared.strip()) and bool(re.search(r"\S\s", shared))
    return (
        not isinstance(first, str)
        and not isinstance(second, str)
        and (turn_key(first[0]) == turn_key(second[0]))
    )
