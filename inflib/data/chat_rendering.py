"""A tokenizer to its chat template as a function, which gives the same text on any
day."""

import datetime
from collections.abc import Mapping
from typing import Any

import jinja2

from inflib.shapes.messages import Message
from inflib.shapes.special_tokens import guarded, pattern
from inflib.shapes.split import Render

_CLOCK = "strftime_now"
"""The one function by which transformers lets a chat template see the clock."""

_FORMATS = [f"%{c}" for c in "aAbBcCdDeFGgHhIjklmMnpPrRsStTuUVwWxXyYzZ"]
_PERCENT = "\ufdd4"
_UNPADDED = [f"%-{c}" for c in "dmyjHIMS"]

NO_TEMPLATE = (
    "the tokenizer has no chat template: name one in model.chat_template, a file "
    "(.jinja) or the template itself"
)


def renderer(tokenizer: Any, date: str | None = None) -> Render:
    """The tokenizer's chat template. Raises ValueError for messages it refuses.

    date: YYYY-MM-DD, what templates that print the date take for today; None: today.
    Special tokens in the messages and the arguments are guarded, see special_tokens.
    """
    special = pattern(tokenizer)
    clock = ""
    if date is not None and is_dated(tokenizer.chat_template):
        clock = _clock(date)

    def guard(value: Any) -> Any:
        if isinstance(value, str):
            return guarded(value, special) if special.search(value) else value
        if isinstance(value, list):
            return [guard(item) for item in value]
        if isinstance(value, dict):
            return {key: guard(item) for key, item in value.items()}
        return value

    def render(
        messages: list[Message], add_generation_prompt: bool, **arguments: Any
    ) -> str:
        if not tokenizer.chat_template:
            raise ValueError(NO_TEMPLATE)
        try:
            template = tokenizer.get_chat_template(tools=arguments.get("tools"))
            return tokenizer.apply_chat_template(
                guard(messages),
                chat_template=clock + template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **guard(arguments),
            )
        except (jinja2.TemplateError, TypeError, AttributeError) as error:
            hint = ""
            if any(message["role"] == "system" for message in messages):
                hint = "; system_turns fold puts system turns into user turns"
            raise ValueError(f"the chat template refuses it: {error}{hint}") from None

    return render


def is_dated(template: str | Mapping[str, str] | None) -> bool:
    """Whether a chat template, or one of several by name, prints the date of the day.

    One that prints `date_string` and has a default for it (Llama 3.1) does not: the
    variable is only there where the data or the recipe give it, as in TRL.
    """
    if isinstance(template, Mapping):
        return any(map(is_dated, template.values()))
    return _CLOCK in (template or "")


def _clock(date: str) -> str:
    """Start of a chat template in which the clock has stopped at midnight of a date.

    A macro, because transformers takes no functions as arguments of a template. The
    line break at its end belongs to the block, and is not printed.
    """
    now = datetime.datetime.fromisoformat(date)
    codes = {code: now.strftime(code) for code in (*_UNPADDED, *_FORMATS)}
    codes = {"%%": _PERCENT, **codes, _PERCENT: "%"}
    replaced = "".join(f" | replace({k!r}, {v!r})" for k, v in codes.items())
    return f"{{% macro {_CLOCK}(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}\n"
