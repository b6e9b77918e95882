"""Special tokens that stand in a user's text, such as "</s>", stay text.

A tokenizer takes them for special tokens wherever they stand. In plain text all of them
are the user's. In a rendered chat some are the template's: there the user's are guarded
by two characters that no text has, before it is rendered.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

_START, _STOP = "\ufdd0", "\ufdd1"
"""Noncharacters of Unicode, which texts must not hold."""

_GUARDS = re.compile(f"[{_START}{_STOP}]")


def special_ids(tokenizer: Any) -> dict[str, int]:
    """{special token: its id} of the tokens that the tokenizer looks for in a text:
    those with a role (EOS, ...), and those that are just special, as the marks of turns
    in chats."""
    roles = set(tokenizer.all_special_tokens)
    return {
        str(token): i
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.special or str(token) in roles
    }


def pattern(tokenizer: Any) -> re.Pattern[str]:
    """What matches the tokenizer's special tokens; nothing where it has none."""
    return _any_of(special_ids(tokenizer))


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def guarded(text: str, special: re.Pattern[str]) -> str:
    """A user's text with guards around its special tokens."""
    return special.sub(lambda found: f"{_START}{found[0]}{_STOP}", unguarded(text))


def unguarded(text: str) -> str:
    """The text itself."""
    return _GUARDS.sub("", text)


def is_guarded(text: str) -> bool:
    """Whether a text holds special tokens of the user's."""
    return _START in text


def template_tokens(
    text: str, tokens: Iterable[str], spelling: Callable[[str], str]
) -> str:
    """A rendered chat without its guards, in which the template's special tokens, which
    are not guarded, are spelt otherwise."""
    either = re.compile(
        f"{_START}.*?(?:{_STOP}|$)|{_any_of(tokens).pattern}", re.DOTALL
    )
    return either.sub(
        lambda found: (
            unguarded(found[0]) if found[0].startswith(_START) else spelling(found[0])
        ),
        text,
    ).replace(_STOP, "")
