"""What configuration models share: they are immutable and refuse unknown fields."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, field_validator

from inflib.config.credentials import check_address


class Frozen(BaseModel):
    """A model whose fields cannot be set; an unknown field is an error, and so is
    true for a number, a number for true, and a number that is not finite.

    The docstrings under its fields are the help texts of the command line.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _fits(cls, value: Any, info: Any) -> Any:
        """No address with credentials. No true for 1, no 1 for true, as pydantic
        would read them."""
        field = cls.model_fields[info.field_name or ""]
        for one, kinds in _leaves(value, members(field.annotation)):
            if isinstance(one, bool) and kinds & {int, float} and bool not in kinds:
                raise ValueError(f"must be a number, not {str(one).lower()}")
            number = isinstance(one, int | float) or str(one).strip().isdigit()
            if number and not isinstance(one, bool) and kinds == {bool}:
                raise ValueError(f"must be true or false, not {one}")
            if isinstance(one, str):
                check_address(one)
        return value


def members(annotation: Any) -> list[Any]:
    """The types of a union, without pydantic's constraints; of one type, it alone."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in members(member)]
    return [annotation]


def _leaves(value: Any, kinds: list[Any]) -> Iterator[tuple[Any, set[Any]]]:
    """The values in lists and mappings, each with the types that it may have.

    kinds: types that the whole value may have.
    """
    if isinstance(value, list | tuple | dict):
        outer = dict if isinstance(value, dict) else tuple
        insides = [get_args(kind) for kind in kinds if get_origin(kind) is outer]
        if outer is dict and not insides and Any not in kinds:
            return  # a model, which looks itself
        items = [kind for inside in insides for kind in inside[outer is dict :]]
        inner = [kind for item in items for kind in members(item)] or [Any]
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one, inner)
    else:
        yield value, {kind for kind in kinds if isinstance(kind, type)}
