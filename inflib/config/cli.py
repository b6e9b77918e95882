"""Command line of every entry point: --config RECIPE, --run PATH, --<field> VALUE.

Our own forty lines, because every field must be reachable by its dotted name, those of
a named query set included (--prepare.queries.concise.select chosen_longer), and the
help must come from the field docstrings.
"""

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from inflib.config.loading import read_recipe
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder


def parse(doc: str, arguments: list[str]) -> Recipe:
    """The recipe that the arguments ask for.

    Without --config it is the one stored in --run. Prints help and exits on --help.
    Raises ValueError naming the argument or field that is wrong.
    """
    if "-h" in arguments or "--help" in arguments:
        print(help_text(doc))
        sys.exit(0)
    given = options(arguments)
    config = given.pop("config", None)
    if config is not None:
        path = Path(config)
        if not path.is_file():
            raise ValueError(f"--config {config}: no such file")
        return read_recipe(path.read_text(), given, config)
    if "run" not in given:
        raise ValueError("give --config RECIPE.yaml, or --run PATH of an existing run")
    run = Folder(given["run"])
    if not run.exists("config.json"):
        raise ValueError(f"{run.url} holds no run (no config.json); give --config")
    return read_recipe(run.read_bytes("config.json").decode(), given, run.url)


def options(arguments: list[str]) -> dict[str, str]:
    """{name: value} of --name value and --name=value."""
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise ValueError(f"{word!r} is not an option; options are --name value")
        if not equals:
            if not rest:
                raise ValueError(f"--{name} needs a value")
            value = rest.pop(0)
        given[name] = value
    return given


def help_text(doc: str) -> str:
    """The entry point's docstring, then every field with its default and meaning."""
    lines = [doc.strip(), "", "options:", "  --config PATH", "      YAML recipe."]
    lines += _fields(Recipe, "")
    return "\n".join(lines)


def _fields(model: type[BaseModel], prefix: str) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        is_set = getattr(field.annotation, "__origin__", None) is dict
        if inner is not None:
            key = f"{prefix}{name}.NAME." if is_set else f"{prefix}{name}."
            lines += _fields(inner, key)
            continue
        default = "required" if field.is_required() else f"default {field.default!r}"
        lines.append(f"  --{prefix}{name} ({default})")
        text = " ".join((field.description or "").split())
        lines.append(f"      {text}")
    return lines


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The nested model of a field: X, X | None or dict[str, X]."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
