"""The text of a rule to a tree of Python's grammar, with 1% as a number of its own."""

import ast
import io
import tokenize
import warnings

_LONGEST = 10_000
"""Characters of a rule."""

ALLOWED = (
    "a rule has comparisons (< <= > >= == != in), and, or, not, parentheses, numbers, "
    "'texts' and columns"
)


def parsed(rule: str) -> tuple[ast.Expression, set[int]]:
    """(the rule as a tree, columns of the text where a number with % stands)."""
    text = " ".join(rule.split("\n")).strip()
    if not text:
        raise ValueError("the rule is empty")
    if len(text) > _LONGEST:
        raise ValueError(f"the rule has more than {_LONGEST} characters")
    try:
        text, shares = _without_percent(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval"), shares
    except (SyntaxError, tokenize.TokenError, MemoryError) as error:
        place = getattr(error, "offset", None)
        where = f" at character {place}" if place else ""
        hint = "; == compares, = does not" if _has_single_equals(text) else ""
        raise ValueError(f"cannot be read{where}{hint}; {ALLOWED}") from None


def _without_percent(text: str) -> tuple[str, set[int]]:
    """The text with a space for the % behind a number, and where those numbers start
    (in bytes, as ast counts)."""
    shares, last = set(), None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP and token.string == "%" and last is not None:
            text = text[: token.start[1]] + " " + text[token.end[1] :]
            shares.add(len(text[: last.start[1]].encode()))
        last = token if token.type == tokenize.NUMBER else None
    return text, shares


def _has_single_equals(text: str) -> bool:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return False
    return any(token.string == "=" for token in tokens)
