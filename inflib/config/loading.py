"""YAML and command-line options to a recipe."""

from difflib import get_close_matches
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError

from inflib.config.base import members
from inflib.config.recipe import Recipe


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_recipe(text: str, changes: dict[str, Any], origin: str) -> Recipe:
    """The recipe in a YAML text, with some fields changed by the command line.

    changes: {dotted field: value}. All is validated at once. Raises ValueError that
    names `origin` (what the text was read from), or the option that is wrong.
    """
    try:
        fields = yaml.load(text, _UniqueKeys) or {}
    except (yaml.YAMLError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise ValueError(f"{origin}: not valid YAML: {message}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{origin}: a recipe is a YAML mapping")
    for name, value in changes.items():
        _set(fields, name, value)
    return _validated(fields, origin, list(changes))


def with_fields(recipe: Recipe, changes: dict[str, Any], origin: str) -> Recipe:
    """The recipe with {dotted field: value} changed.

    Raises ValueError that names `origin` when the result is not valid.
    """
    fields = recipe.model_dump(mode="json")
    for name, value in changes.items():
        _set(fields, name, value)
    return _validated(fields, origin, [])


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    """Put a value where its dotted name says; sections on the way are made."""
    *parents, last = name.split(".")
    for parent in parents:
        if fields.get(parent) is None:
            fields[parent] = {}
        fields = fields[parent]
        if not isinstance(fields, dict):
            raise ValueError(f"--{name}: {parent} has no fields of its own")
    fields[last] = value


def _validated(fields: dict[str, Any], origin: str, options: list[str]) -> Recipe:
    """The recipe of these fields. options: dotted fields that the command line set."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for problem in error.errors():
            field = ".".join(map(str, problem["loc"])) or "recipe"
            causes = [name for name in options if f"{field}.".startswith(f"{name}.")]
            place = f"--{causes[0]}" if causes else f"{origin}: {field}"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = f"no such field{_near_miss(problem['loc'])}"
            problems.setdefault(place, []).append(message)
        lines = [f"{place}: {', or '.join(texts)}" for place, texts in problems.items()]
        raise ValueError("; ".join(lines)) from None


def _near_miss(place: tuple[int | str, ...]) -> str:
    """What the field at this place of a recipe may have been meant to be."""
    types: list[Any] = [Recipe]
    for name in place[:-1]:
        inner: list[Any] = []
        for kind in types:
            if get_origin(kind) is dict:
                inner += members(get_args(kind)[1])
            elif field := getattr(kind, "model_fields", {}).get(name):
                inner += members(field.annotation)
        types = inner
    names = [name for kind in types for name in getattr(kind, "model_fields", ())]
    near = get_close_matches(str(place[-1]), names, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
