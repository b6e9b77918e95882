"""Fields of the recipe to options of the command line.

    --prepare.queries.expert.path FILE      a field by its dotted name
    --score.damping 0.1,1                   lists: commas, or repeated, or [0.1, 1]
    --bias.ablate '{train.lora_r: [2, 4]}'  lists and mappings as in YAML
    --model.adapter null                    no value, where a field allows it

Made with click. Of the libraries that turn pydantic models into options
(pydantic-settings, tyro, jsonargparse, cyclopts) none takes a query set of a new name,
keeps the other query sets of a recipe file, and leaves all values to one validation.
"""

import json
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click
import yaml
from click.shell_completion import CompletionItem
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inflib.config.base import members
from inflib.config.recipe import Recipe

NAME = "NAME"
"""Stands in help texts for the key of a mapping, such as a query set's name."""

_WORDS: dict[Any, tuple[str, ...]] = {
    bool: ("true", "false"),
    NoneType: ("null",),
    str: ("TEXT",),
    int: ("INT",),
    float: ("FLOAT",),
}


class FieldOption(click.Option):
    """Option of one field. Values stay text, for pydantic to read, except null, [..],
    {..}, and comma-separated items of a field that takes nothing but lists."""

    def __init__(self, path: str, info: FieldInfo, types: list[Any]) -> None:
        """path: dotted name of the field; types: members of its annotation."""
        lists = [kind for kind in types if get_origin(kind) is tuple]
        items = [item for kind in lists for item in get_args(kind)]
        kinds = types + [member for item in items for member in members(item)]
        literals = [get_args(kind) for kind in kinds if get_origin(kind) is Literal]
        words = sum([*literals, *(_WORDS.get(kind, ()) for kind in kinds)], ())
        self.path = path
        self._words = [word for word in dict.fromkeys(words) if not word.isupper()]
        self._splits = bool(lists) and str not in types  # paths may hold commas
        default = info.get_default(call_default_factory=True)
        default_text = (
            "required, here or in the recipe" if info.is_required() else _shown(default)
        )
        super().__init__(
            [f"--{path}", re.sub(r"\W", "__", path)],
            type=self._read,
            multiple=bool(lists),
            metavar=("|".join(dict.fromkeys(words)) or "{..}")
            + (",..." if self._splits else ""),
            help=f"{' '.join((info.description or '').split())} [{default_text}]",
        )

    def _read(self, text: str) -> Any:
        if f".{NAME}" in self.path:
            raise click.BadParameter(f"write the set's own name in place of {NAME}")
        options = click.get_current_context().command.params
        if any(text.partition("=")[0] in option.opts for option in options):
            values = f" ({'|'.join(self._words)})" if self._words else ""
            raise click.BadParameter(f"needs a value{values}, and {text} is an option")
        if text.lower() in ("null", "none") and "null" in self._words:
            return None
        try:
            if text.startswith(("[", "{")):
                return yaml.safe_load(text)
        except yaml.YAMLError:
            raise click.BadParameter(f"not a list or mapping: {text}") from None
        return [item.strip() for item in text.split(",")] if self._splits else text

    def value(self, parsed: Any) -> Any:
        """Value for the field, from what click parsed: one value, or a tuple of those
        of a repeated option, whose lists are joined."""
        if not self.multiple or len(parsed) == 1:
            return parsed[0] if self.multiple else parsed
        return [
            item
            for value in parsed
            for item in (value if isinstance(value, list) else [value])
        ]

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        fitting = [word for word in self._words if word.startswith(incomplete)]
        return [CompletionItem(word) for word in fitting] or [
            CompletionItem(incomplete, type="file")
        ]


def _shown(default: Any) -> str:
    """A field's default as a user would type it."""
    if isinstance(default, tuple | dict) and not default:
        return "none"
    if isinstance(default, tuple) and all(isinstance(v, str | float) for v in default):
        return ",".join(map(str, default))
    return json.dumps(default, default=str).strip('"')


def field_options(arguments: list[str]) -> Iterator[FieldOption]:
    """Options of all fields of a recipe, in their order.

    arguments: those of the command line. Names of query sets, and other keys of
    mappings, are taken from them.
    """
    for name, info in Recipe.model_fields.items():
        yield from _options(name, info, members(info.annotation), arguments)


def _options(
    path: str, info: FieldInfo, types: list[Any], arguments: list[str]
) -> Iterator[FieldOption]:
    """Options of one field, or of the fields below it. types: members of its
    annotation."""
    classes = [kind for kind in types if isinstance(kind, type)]
    models = [kind for kind in classes if issubclass(kind, BaseModel)]
    if not models or NoneType in types:
        yield FieldOption(path, info, types)
    for model in models:
        for name, field in model.model_fields.items():
            field_types = members(field.annotation)
            yield from _options(f"{path}.{name}", field, field_types, arguments)
    for values in (get_args(kind)[1] for kind in types if get_origin(kind) is dict):
        pattern = rf"--{re.escape(path)}\.([^.=]+)"
        matches = [re.match(pattern, argument) for argument in arguments]
        for key in dict.fromkeys([NAME, *(match[1] for match in matches if match)]):
            yield from _options(f"{path}.{key}", info, members(values), arguments)
