"""A recipe to the config.json of its run folder, which binds the run to it."""

from typing import Any

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
    "model.adapter_base",
    "prepare.on_bad_rows",
    "train.max_failures",
    "train.cpus_per_worker",
    "sketch.workers",
}
"""Fields that may differ between two calls on one run folder; a section stands for all
its fields. prepare.train.path may only gain labels, which `prepare` checks."""

_FIRST_RESULTS = ("pairs/done.json", "simulation/labelers.json")
"""A run that has none of these holds nothing yet that its recipe decided."""

_CONFIG = "config.json"


def check_bound(recipe: Recipe) -> None:
    """Raise ValueError when the run was made with another value of a field that decides
    its numbers (any not in FREE), and OSError when its folder cannot be written."""
    run = Folder(recipe.run)
    run.check_access()
    if not run.exists(_CONFIG) or not any(map(run.exists, _FIRST_RESULTS)):
        return
    config, fields = run.read_json(_CONFIG), recipe.model_dump(mode="json")
    had, has = (sorted(each["prepare"]["queries"]) for each in (config, fields))
    if had != has:
        raise ValueError(
            f"{run.url} was made with the query sets {had}, not {has}: query sets "
            "cannot be added or taken out; choose another --run"
        )
    before, now = _flat(config), _flat(fields)
    for name in sorted(before.keys() | now.keys()):
        free = any(name == field or name.startswith(field + ".") for field in FREE)
        if not free and before.get(name) != now.get(name):
            raise ValueError(
                f"{run.url} was made with {name} = {before.get(name)!r}, not "
                f"{now.get(name)!r}: choose another --run, or set it back"
            )


def bind(recipe: Recipe) -> None:
    """Write the recipe to config.json of its run folder, after `check_bound`."""
    check_bound(recipe)
    Folder(recipe.run).write(_CONFIG, recipe.model_dump_json(indent=1).encode())


def bind_new(recipe: Recipe) -> None:
    """The same, but where the run has a recipe and results, leave its config.json: the
    options of a command that fails must not stay."""
    check_bound(recipe)
    run = Folder(recipe.run)
    if not run.exists(_CONFIG) or not any(map(run.exists, _FIRST_RESULTS)):
        bind(recipe)


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted field: value} of nested fields."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
