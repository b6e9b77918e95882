"""What a row says beside its prompt and its answers."""

import json
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.shapes.cells import MISSING, id_text, is_blank, number, parsed
from inflib.shapes.messages import content_text
from inflib.shapes.shape import Shape
from inflib.shapes.split import Context

_USED = (
    "prompt",
    "chosen",
    "rejected",
    "edited",
    "response_a",
    "response_b",
    "answers",
    "turns",
    "pair_id",
    "system",
    "tools",
    "chat_template_kwargs",
)
"""Roles whose columns are not kept beside the labels: the texts are in pairs/."""


def context_of(fields: dict[str, Any], shape: Shape, config: ShapeConfig) -> Context:
    """System text, arguments of the chat template and weight of a row.

    Raises ValueError for what is none.
    """
    system = shape.cell(fields, "system")
    if isinstance(system, dict):
        system = system.get("parts", system)
    if not is_blank(system) and not isinstance(system, str):
        system = content_text(system, shape.name("system"))
    arguments = dict(config.chat_template_kwargs)
    for role, kind in (("chat_template_kwargs", dict), ("tools", list)):
        value = parsed(shape.cell(fields, role))
        if is_blank(value):
            continue
        if not isinstance(value, kind):
            raise ValueError(f"{shape.name(role)!r} is no JSON {kind.__name__}")
        arguments |= value if role != "tools" else {"tools": value}
    weight = 1.0
    if (cell := shape.cell(fields, "weight")) is not MISSING:
        read_weight = number(cell)
        if read_weight is None or read_weight < 0:
            raise ValueError(f"{shape.name('weight')!r} is no weight, 0 or more")
        weight = read_weight
    return Context(None if is_blank(system) else system, arguments, weight)


def kept_of(fields: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """{name: value} of the other columns, which are kept; nested values as JSON text,
    integers beyond 64 bits as text."""
    used = {
        name.partition("[")[0]
        for role in _USED
        for name in _names(shape.columns.get(role))
    }
    extra = {}
    for name, value in fields.items():
        str(name).encode()  # raises for a lone surrogate
        if name in used:
            continue
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            value = str(value)
        if not isinstance(value, str | int | float | bool | None):
            value = json.dumps(value, default=str)
        if isinstance(value, str):
            value.encode()
        extra[str(name)] = value
    labeler = shape.cell(fields, "labeler")
    if not is_blank(labeler):
        extra["labeler"] = id_text(labeler)
    return extra


def _names(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else columns
