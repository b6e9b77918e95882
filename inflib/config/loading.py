"""YAML and command-line options to a recipe, which a run folder is then bound to.

Most fields decide what the numbers of a run are; a run folder refuses another value
for them. The others (FREE: workers, options of scoring and of what follows) may change.
"""

import json
from typing import Any

import yaml
from pydantic import ValidationError

from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder

FREE = {
    "run",
    "prepare.train.path",
    "score",
    "explain",
    "verify",
    "report",
    "bias",
    "judge",
    "oversight",
    "cluster",
    "prepare.on_bad_rows",
    "train.max_failures",
    "train.cpus_per_worker",
    "sketch.workers",
}
"""Fields that may differ between two calls on one run folder; a section stands for all
its fields. prepare.train.path may only gain labels, which `prepare` checks."""


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
    except yaml.YAMLError as error:
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
            problems.setdefault(place, []).append(message)
        lines = [f"{place}: {', or '.join(texts)}" for place, texts in problems.items()]
        raise ValueError("; ".join(lines)) from None


def bind(recipe: Recipe) -> None:
    """Write the recipe to config.json of its run folder.

    Raises ValueError when the run was made with another value of a field that decides
    its numbers (any that is not in FREE), and OSError when the folder
    cannot be written.
    """
    run = Folder(recipe.run)
    run.check_access()
    if run.exists("config.json"):
        stored = _flat(json.loads(run.read_bytes("config.json")))
        fields = _flat(recipe.model_dump(mode="json"))
        for name in sorted(stored.keys() | fields.keys()):
            free = any(name == f or name.startswith(f + ".") for f in FREE)
            if not free and stored.get(name) != fields.get(name):
                raise ValueError(
                    f"{run.url} was made with {name} = {stored.get(name)!r}, not "
                    f"{fields.get(name)!r}: choose another --run, or set it back"
                )
    run.write("config.json", recipe.model_dump_json(indent=1).encode())


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted field: value} of nested fields."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
