"""Values in the cells of a row: by dotted name, as JSON, as numbers, as ids."""

import ast
import json
import math
import re
from typing import Any

_PYTHON = re.compile(r"\s*[\[{][\s\[{]*'")
"""How a list or an object starts that Python printed, as pandas does in CSV files."""

_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:%|(?:/|of|out of)\s*(\d+))\s*")

MISSING = object()
"""What `at` gives where there is no such column."""


def at(fields: Any, name: str) -> Any:
    """The value of a column, or of a field inside one: "info.post"; MISSING without.

    A column whose own name has dots comes first. Text that holds a JSON object is
    looked into.
    """
    if isinstance(fields, str):
        fields = parsed(fields)
    if not isinstance(fields, dict):
        return MISSING
    if name in fields:
        return fields[name]
    first, dot, rest = name.partition(".")
    while dot:
        if first in fields:
            return at(fields[first], rest)
        more, dot, rest = rest.partition(".")
        first = f"{first}.{more}"
    return MISSING


def parsed(value: Any) -> Any:
    """The object or list in a text, as JSON or as Python prints it; any other value as
    it is."""
    if isinstance(value, str) and value[:256].lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return _printed(value) if _PYTHON.match(value) else value
    return value


def _printed(text: str) -> Any:
    """The value that Python prints so. numpy's texts differ: they lack commas, and
    'a' 'b' would be one text."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text  # TypeError: a key that no dictionary can have
    return value if repr(value) == text.strip() else text


def number(value: Any) -> float | None:
    """A finite number, also from text or from a bool; None for what is none."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float | str):
        try:
            as_float = float(value)
        except (ValueError, OverflowError):
            return None
        return as_float if math.isfinite(as_float) else None
    return None


def share(value: Any) -> float | None:
    """A number, also from "70%" or "7/10"; None for what is none."""
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)):
        part, whole = float(found[1]), float(found[2] or 100)
        return part / whole if 0 < whole >= part else None
    return number(value)


def is_blank(value: Any) -> bool:
    """Whether there is nothing in a cell: null, NaN, empty or blank text, an empty
    list."""
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str):
        return not value.strip()
    return value is MISSING or value is None or value == [] or value == {}


def id_text(value: Any) -> str | None:
    """An id as text: whole numbers without a decimal point, {"$oid": x} as x, other
    objects as JSON; None for a blank cell."""
    if is_blank(value):
        return None
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if name.startswith("$"):
            return id_text(inner)
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, sort_keys=True, default=str)
