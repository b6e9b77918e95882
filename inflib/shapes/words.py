"""Words for a winner among two responses: "A is slightly better", "Response 2", "A>>B",
"both bad".

Words are compared without case and punctuation. What is not understood whole stands for
no winner: "model_a (tie)", "A is worse".
"""

import re
from typing import Literal

from inflib.shapes.cells import number
from inflib.shapes.spellings import PREFIX, plain

Side = Literal["a", "b", "tie"]

_FIRST = {"a", "left", "first", "1st"}
_SECOND = {"b", "right", "second", "2nd"}
_TIES = {
    *("draw", "c", "even", "notsure", "unsure", "nopreference", "bothbad"),
    *("cannotdecide", "cantdecide", "cannotsay", "cantsay", "abouttthesame"),
    *("atie", "itsatie", "itisatie"),
}
_EVEN = {
    *("tie", "tied", "equal", "equally", "same", "similar", "neutral"),
    *("both", "neither"),
}
"""Words that make a tie of a sentence, but of one that names one side only."""

_BESIDE = {"a", "b", "and", "good", "bad", "about", "roughly", "nearly", "almost"}
"""What else a sentence about a tie says."""

_FILLERS = {
    *("i", "is", "are", "was", "were", "the", "they", "it", "one", "this", "of"),
    *("slightly", "much", "strongly", "somewhat", "significantly", "clearly", "far"),
    *("marginally", "moderately", "definitely", "way", "lot", "bit", "little"),
    *("better", "best", "wins", "won", "winner", "prefer", "prefers", "preferred"),
}
_NOUNS = {
    *("response", "answer", "completion", "output", "text", "candidate", "summary"),
    *("assistant", "model", "option", "choice", "reply", "chatbot", "generation"),
}
_TIE = re.compile("tied?(?:all|both)?(?:good|bad)?")
_SIGN = re.compile(r"([^!<>=≈~]*)(>+|<+|=+|≈|~)([^<>=≈~]*)")
_LISTED = re.compile(
    r"\s*-?\d+\s*(?:\((.*\D.*)\)|[-\u2013\u2014:.)=]+\s+(.*[^\W\d].*))\s*"
)
"""An answer with its number in a list: "1 - A is better", "1 (A is better)"."""

_AMOUNT = re.compile(r"\ba (?:bit|lot|little)\b")


def side_of_word(word: str, names: tuple[str, str]) -> Side | None:
    """The winner that a word stands for; None for words that stand for none, such as
    numbers.

    names: what else the first and the second response are called: their columns, or
    the models that wrote them.
    """
    if listed := _LISTED.fullmatch(word):
        word = listed[1] or listed[2]
    if sign := _SIGN.fullmatch(word):
        return _side_of_sign(sign[1], sign[2], sign[3], names)
    text = plain(word)
    if text in _TIES or _TIE.fullmatch(text):
        return "tie"
    if text == "win":
        return "a"
    if number(word) is not None:
        return None
    said, _, _ = _AMOUNT.sub("", word.casefold()).partition(" than ")
    words = [each for each in re.findall(r"[^\W_]+", said) if each not in _FILLERS]
    names = PREFIX.sub("", names[0]), PREFIX.sub("", names[1])
    first, second = map(plain, names)
    for called in (text, "".join(words)):
        if first != second and called in (first, second):
            return "a" if called == first else "b"
    if _EVEN & {*words}:
        rest = {*words} - _EVEN - _NOUNS - {f"{noun}s" for noun in _NOUNS}
        whole = rest <= _BESIDE and ("a" in rest) == ("b" in rest)
        return "tie" if whole else None
    core = _core(words)
    if (_core_of(names[0]), _core_of(names[1])) == ("1", "2") and core in ("1", "2"):
        return "a" if core == "1" else "b"
    return "a" if core in _FIRST else "b" if core in _SECOND else None


def _side_of_sign(
    left: str, sign: str, right: str, names: tuple[str, str]
) -> Side | None:
    """The winner in "A > B"; of ">" alone, the first response stands before it."""
    sides: tuple[Side | None, Side | None] = ("a", "b")
    if left.strip() or right.strip():
        sides = side_of_word(left, names), side_of_word(right, names)
    if {*sides} != {"a", "b"}:
        return None
    if sign[0] not in "<>":
        return "tie"
    return sides[0] if sign[0] == ">" else sides[1]


def _core(words: list[str]) -> str:
    """What tells one response from the other: a, left, 1."""
    return "".join(
        re.sub(rf"^(?:{'|'.join(_NOUNS)})(?=.)", "", each)
        for each in words
        if each not in _NOUNS
    )


def _core_of(name: str) -> str:
    return _core(re.findall(r"[^\W_]+", name.casefold()))
