"""A recipe to the config.json of its run folder, which binds the run to it."""

import json
from typing import Any

from pydantic import ValidationError

from inflib.config.loading import read_recipe
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
    "model.sharded_over",
    "prepare.on_bad_rows",
    "train.max_failures",
    "train.cpus_per_worker",
    "train.gpus_per_worker",
    "train.gradient_checkpointing",
    "sketch.workers",
    "sketch.cpus_per_worker",
    "sketch.gpus_per_worker",
    "sketch.token_budget",
}
"""Fields that may differ between two calls on one run folder; a section stands for all
its fields. prepare.train.path may only gain labels, which `prepare` checks.

A run may go on with other resources. Threads, devices and batches of the gradient pass
change the order of its sums only, by some 1e-5 of a gradient, where int8 rounds to
1/254 of its largest entry. A training that goes on elsewhere, at its checkpoint, draws
another dropout, as after any interruption on a GPU. Not free, though they are resources
as well: train.workers and train.micro_batch_size, which deal the labels and the draws
of dropout differently from the first step on; model.dtype, which rounds to 8 bits in
place of 24; model.attention, whose kernels differ by that much in bfloat16."""

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
    config, fields = stored_fields(run), recipe.model_dump(mode="json")
    had, has = (sorted(each["prepare"]["queries"]) for each in (config, fields))
    if had != has:
        raise ValueError(
            f"{run.url} was made with the query sets {had}, not {has}: query sets "
            "cannot be added or taken out; choose another --run"
        )
    before, now = _flat(config), _flat(fields)
    for name in sorted(before.keys() | now.keys()):
        if not _is_free(name) and before.get(name) != now.get(name):
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


def stored_recipe(run: Folder, changes: dict[str, Any] | None = None) -> Recipe:
    """The recipe that is stored in a run, with {dotted field: value} changed. Raises
    ValueError where the folder holds no run."""
    if not run.exists(_CONFIG):
        raise ValueError(
            f"{run.url} holds no run (no config.json): check the path, or give a new "
            "run its recipe with --config"
        )
    fields = {"run": run.url} | (changes or {})
    return read_recipe(json.dumps(stored_fields(run)), fields, run.url)


def stored_fields(run: Folder) -> dict[str, Any]:
    """The fields in config.json, with the defaults of those that are younger than it.

    Leaves out fields in FREE that this version does not know. Raises ValueError naming
    another such field: the run was made by another version, which it told to do what
    this one cannot.
    """
    fields: dict[str, Any] = run.read_json(_CONFIG)
    try:
        return Recipe.model_validate(fields).model_dump(mode="json")
    except ValidationError as error:
        problems = error.errors()
    unknown = [p["loc"] for p in problems if p["type"] == "extra_forbidden"]
    for place in unknown:
        name = ".".join(map(str, place))
        if not _is_free(name):
            raise ValueError(
                f"{run.url} was made by another version of inflib, with {name}, which "
                "this one does not know: go on with that version, or choose another "
                "--run"
            )
        section = fields
        for key in place[:-1]:
            section = section[key]  # type: ignore[index]
        del section[place[-1]]  # type: ignore[arg-type]
    try:
        return Recipe.model_validate(fields).model_dump(mode="json")
    except ValidationError:
        return fields  # a value is no longer allowed: the callers say which


def _is_free(name: str) -> bool:
    return any(name == field or name.startswith(field + ".") for field in FREE)


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted field: value} of nested fields."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
