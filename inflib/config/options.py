"""Recipe fields to command-line options: click options made from the models.

    --prepare.queries.expert.path FILE      a field by its dotted name
    --score.damping 0.1,1                   lists: commas, or repeated, or [0.1, 1]
    --bias.ablate '{train.lora_r: [2, 4]}'  lists and mappings as in YAML
    --model.adapter null                    no value, where a field allows it

click rather than a library that reads pydantic models (pydantic-settings, tyro,
jsonargparse, cyclopts): of those none takes a query set of a new name, keeps a recipe
file's other query sets, and passes every value on unread to one validation.
"""

import json
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import yaml
from click.shell_completion import CompletionItem
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inflib.config.recipe import Recipe

NAME = "NAME"
"""Stands for the key of a mapping, such as a query set's name, in help texts."""

_WORDS: dict[Any, tuple[str, ...]] = {
    bool: ("true", "false"),
    NoneType: ("null",),
    str: ("TEXT",),
    int: ("INT",),
    float: ("FLOAT",),
}


class FieldOption(click.Option):
    """Option of one field. Its text is left to pydantic, but for null, [..] and {..},
    and commas in fields that are nothing but lists."""

    def __init__(self, path: str, info: FieldInfo, types: list[Any]) -> None:
        lists = [kind for kind in types if get_origin(kind) is tuple]
        inner = [m for kind in lists for a in get_args(kind) for m in members(a)]
        literals = [get_args(k) for k in types + inner if get_origin(k) is Literal]
        words = sum([*literals, *(_WORDS.get(k, ()) for k in types + inner)], ())
        self.path = path
        self._words = [word for word in dict.fromkeys(words) if not word.isupper()]
        self._splits = bool(lists) and str not in types  # paths may hold commas
        default = info.get_default(call_default_factory=True)
        known = "required" if info.is_required() else _shown(default)
        super().__init__(
            [f"--{path}", re.sub(r"\W", "__", path)],
            type=self._read,
            multiple=bool(lists),
            metavar="|".join(dict.fromkeys(words)) or "{..}",
            help=f"{' '.join((info.description or '').split())} [{known}]",
        )

    def _read(self, text: str) -> Any:
        options = click.get_current_context().command.params
        if any(text.partition("=")[0] in option.opts for option in options):
            raise click.BadParameter(f"needs a value, and {text} is an option")
        if text.lower() in ("null", "none") and "null" in self._words:
            return None
        try:
            if text.startswith(("[", "{")):
                return yaml.safe_load(text)
        except yaml.YAMLError:
            raise click.BadParameter(f"not a list or mapping: {text}") from None
        return text.split(",") if self._splits else text

    def value(self, given: Any) -> Any:
        """What the field gets, of what click has collected."""
        if not self.multiple or len(given) == 1:
            return given[0] if self.multiple else given
        return [
            x for each in given for x in (each if isinstance(each, list) else [each])
        ]

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        fitting = [w for w in self._words if w.startswith(incomplete)]
        return [CompletionItem(word) for word in fitting] or [
            CompletionItem(incomplete, type="file")
        ]


def _shown(default: Any) -> str:
    if isinstance(default, tuple | dict) and not default:
        return "none"
    return json.dumps(default, default=str).strip('"')


def field_options(arguments: list[str]) -> Iterator[FieldOption]:
    """Options of all fields of a recipe, in their order.

    arguments: of the command line; keys of mappings (query sets) are found in them.
    """
    for name, info in Recipe.model_fields.items():
        yield from _options(name, info, members(info.annotation), arguments)


def _options(
    path: str, info: FieldInfo, types: list[Any], arguments: list[str]
) -> Iterator[FieldOption]:
    models = [k for k in types if isinstance(k, type) and issubclass(k, BaseModel)]
    if not models or NoneType in types:
        yield FieldOption(path, info, types)
    for model in models:
        for name, field in model.model_fields.items():
            inner = members(field.annotation)
            yield from _options(f"{path}.{name}", field, inner, arguments)
    for values in (get_args(kind)[1] for kind in types if get_origin(kind) is dict):
        keys = [re.match(rf"--{re.escape(path)}\.([^.=]+)", a) for a in arguments]
        for key in dict.fromkeys([NAME, *(match[1] for match in keys if match)]):
            yield from _options(f"{path}.{key}", info, members(values), arguments)


def members(annotation: Any) -> list[Any]:
    """The types of a union, without their constraints."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in members(part)]
    return [annotation]
