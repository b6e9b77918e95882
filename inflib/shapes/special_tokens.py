"""Special tokens that stand in a user's text, such as "</s>", stay text.

A tokenizer takes them for special tokens wherever they stand. In plain text all of them
are the user's. In a rendered chat some are the template's: there the user's are guarded
by two characters that no text has, before it is rendered.
"""

import re
from typing import Any

_START, _STOP = "\ufdd0", "\ufdd1"
"""Noncharacters of Unicode, which texts must not hold."""

_GUARDS = re.compile(f"[{_START}{_STOP}]")


def pattern(tokenizer: Any) -> re.Pattern[str]:
    """What matches the tokenizer's special tokens; nothing where it has none."""
    tokens = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) if tokens else r"(?!)")


def guarded(text: str, special: re.Pattern[str]) -> str:
    """A user's text with guards around its special tokens."""
    return special.sub(lambda found: f"{_START}{found[0]}{_STOP}", unguarded(text))


def unguarded(text: str) -> str:
    """The text itself."""
    return _GUARDS.sub("", text)


def is_guarded(text: str) -> bool:
    """Whether a text holds special tokens of the user's."""
    return _START in text


def encode_guarded(tokenizer: Any, text: str, special: re.Pattern[str]) -> list[int]:
    """Token ids of a rendered chat in which the guarded special tokens are text.

    What stands between special tokens is encoded by itself, which may differ from the
    whole by a leading space.
    """
    either = re.compile(f"{_START}.*?{_STOP}|{special.pattern}", re.DOTALL)
    ids: list[int] = []
    waiting, place = "", 0
    for found in either.finditer(text):
        waiting += text[place : found.start()]
        place = found.end()
        if found[0].startswith(_START):
            waiting += found[0]
        else:
            ids += encode_plain(tokenizer, waiting)
            ids.append(tokenizer.convert_tokens_to_ids(found[0]))
            waiting = ""
    return ids + encode_plain(tokenizer, waiting + text[place:])


def encode_plain(tokenizer: Any, text: str, with_special: bool = False) -> list[int]:
    """Token ids of text without special tokens in it. with_special: what the tokenizer
    adds to each text (BOS, [CLS], ...) is added."""
    if not text and not with_special:
        return []
    return tokenizer(
        unguarded(text),
        add_special_tokens=with_special,
        split_special_tokens=True,
        truncation=False,
        verbose=False,
    )["input_ids"]
