"""A tokenizer to its chat template as a function."""

import datetime
import re
from typing import Any

import jinja2

from inflib.shapes.messages import Message
from inflib.shapes.special_tokens import guarded, pattern
from inflib.shapes.split import Render


def renderer(tokenizer: Any, date: str | None = None) -> Render:
    """The tokenizer's chat template. Raises ValueError for messages it refuses.

    date: YYYY-MM-DD that templates which print today's date take for today; None: the
    real one. Special tokens in the messages are guarded, see special_tokens.
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
                chat_template=_of_day(tokenizer, date, arguments.get("tools")),
                **arguments,
            )
        except (jinja2.TemplateError, TypeError, AttributeError, ValueError) as error:
            if tokenizer.chat_template is None:
                raise ValueError(
                    "messages, and the tokenizer has no chat template: set "
                    "model.chat_template to one, or to a file with one"
                ) from None
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


_DIRECTIVES = ("%-d", "%-m", *(f"%{letter}" for letter in "dmyYbBaAjeFDHIMSpUuwW"))
"""What templates may ask of strftime_now; the longer ones first."""


def _of_day(tokenizer: Any, date: str | None, tools: Any) -> str | None:
    """The chat template with strftime_now, the clock of transformers, set to a day;
    None: the tokenizer's own, which has no clock."""
    if date is None or "strftime_now" not in str(tokenizer.chat_template):
        return None
    day = datetime.datetime.fromisoformat(date)
    replaced = "".join(f"|replace('{d}', '{day.strftime(d)}')" for d in _DIRECTIVES)
    body = f"{{{{ format{replaced} }}}}"
    clock = "{%- macro strftime_now(format) -%}" + body + "{%- endmacro -%}"
    return clock + tokenizer.get_chat_template(tools=tools)
