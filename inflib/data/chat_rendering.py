"""A tokenizer to its chat template as a function."""

import re
from typing import Any

import jinja2

from inflib.shapes.messages import Message
from inflib.shapes.special_tokens import guarded, pattern
from inflib.shapes.split import Render


def renderer(tokenizer: Any) -> Render:
    """The tokenizer's chat template. Raises ValueError for messages it refuses.

    Special tokens in the messages are guarded, see special_tokens.
    """

    special = pattern(tokenizer)

    def render(
        messages: list[Message], add_generation_prompt: bool, **arguments: Any
    ) -> str:
        try:
            return tokenizer.apply_chat_template(
                [_guarded(message, special) for message in messages],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **arguments,
            )
        except (jinja2.TemplateError, TypeError, AttributeError) as error:
            hint = ""
            if any(message["role"] == "system" for message in messages):
                hint = "; system_turns fold puts system turns into user turns"
            raise ValueError(f"the chat template refuses it: {error}{hint}") from None

    return render


def _guarded(message: Message, special: re.Pattern[str]) -> Message:
    content = message["content"]
    if not isinstance(content, str) or not special.search(content):
        return message
    return message | {"content": guarded(content, special)}
