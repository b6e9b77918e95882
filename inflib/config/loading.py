"""Reading a recipe from YAML and overrides, and binding a run folder to it.

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
"""Fields that may differ between two calls on one run folder. Of prepare.train.path,
`prepare` itself accepts more labels, and nothing else."""


def read_recipe(text: str, changes: dict[str, Any], origin: str) -> Recipe:
    """Recipe of a YAML text, with {dotted field: value} of the command line.

    Validated once, whole. Errors name `origin`, or the option that is wrong.
    """
    try:
        fields = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{origin}: not valid YAML: {said}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{origin}: a recipe is a YAML mapping")
    for name, value in changes.items():
        _set(fields, name, value)
    return _validated(fields, origin, list(changes))


def with_fields(recipe: Recipe, changes: dict[str, Any], origin: str) -> Recipe:
    """The recipe with other values of some dotted fields; errors name `origin`."""
    fields = recipe.model_dump(mode="json")
    for name, value in changes.items():
        _set(fields, name, value)
    return _validated(fields, origin, [])


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        if fields.get(parent) is None:
            fields[parent] = {}
        fields = fields[parent]
        if not isinstance(fields, dict):
            raise ValueError(f"--{name}: {parent} has no fields of its own")
    fields[last] = value


def _validated(fields: dict[str, Any], origin: str, options: list[str]) -> Recipe:
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for problem in error.errors():
            field = ".".join(map(str, problem["loc"])) or "recipe"
            given = [name for name in options if f"{field}.".startswith(f"{name}.")]
            place = f"--{given[0]}" if given else f"{origin}: {field}"
            said = problem["msg"].removeprefix("Value error, ")
            problems.setdefault(place, []).append(said)
        lines = [f"{place}: {', or '.join(said)}" for place, said in problems.items()]
        raise ValueError("; ".join(lines)) from None


def bind(recipe: Recipe) -> None:
    """Record the recipe in the run folder; refuse one that changes its numbers."""
    run = Folder(recipe.run)
    run.check_access()
    if run.exists("config.json"):
        stored = _flat(json.loads(run.read_bytes("config.json")))
        asked = _flat(recipe.model_dump(mode="json"))
        for name in sorted(stored.keys() | asked.keys()):
            free = any(name == f or name.startswith(f + ".") for f in FREE)
            if not free and stored.get(name) != asked.get(name):
                raise ValueError(
                    f"{run.url} was made with {name} = {stored.get(name)!r}, not "
                    f"{asked.get(name)!r}: choose another --run, or set it back"
                )
    run.write("config.json", recipe.model_dump_json(indent=1).encode())


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
