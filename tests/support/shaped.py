"""Rows, or a case of tests/cases, to labels as prepare reads them."""

from typing import Any

from inflib.config.data import SourceConfig
from inflib.data.chat_rendering import renderer
from inflib.data.input_files import shape_of
from inflib.data.rows import read_labels
from inflib.files.raw_rows import BadRow, RawRow
from inflib.shapes.gathering import GATHERED, gathered
from inflib.shapes.pairs import Pair, to_pairs
from inflib.shapes.recognition import recognise
from inflib.shapes.shape import Shape, describe
from tests.support.files import ROOT
from tests.support.models import build_tokenizer

CASES = ROOT / "tests" / "cases"
TOKENIZER = build_tokenizer()


def source(**options: Any) -> SourceConfig:
    return SourceConfig(path="rows.jsonl", **options)


def raw(*rows: dict[str, Any]) -> list[RawRow]:
    return [RawRow("rows.jsonl", i, row) for i, row in enumerate(rows, start=1)]


def labels(
    *rows: dict[str, Any], tokenizer: Any = TOKENIZER, **options: Any
) -> list[Any]:
    """Labels and bad rows of some rows, whose shape is recognised."""
    config, raw_rows = source(**options), raw(*rows)
    shape = recognise(raw_rows, config, "prepare.train")
    shaped: Any = raw_rows
    if shape.format in GATHERED:
        shaped, shape = gathered(raw_rows, shape)
    render = renderer(tokenizer)
    return [
        item
        for row in shaped
        for item in (
            [row]
            if isinstance(row, BadRow)
            else to_pairs(row, Shape.from_json(shape.to_json()), config, render)
        )
    ]


def case(
    name: str, tokenizer: Any = TOKENIZER, **options: Any
) -> tuple[str, list[Any]]:
    """(how a case is read in words, its labels and bad rows)."""
    config = SourceConfig(path=str(CASES / name), **options)
    shape = shape_of(config, "prepare.train", str(CASES / name))
    read = read_labels(str(CASES / name), shape, config, renderer(tokenizer))
    return describe(shape), [item for item, _ in read]


def texts(items: list[Any]) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) of labels; raises for a bad row."""
    assert not [item for item in items if isinstance(item, BadRow)], items
    return [(p.prompt, p.chosen, p.rejected) for p in items if isinstance(p, Pair)]


def problems(items: list[Any]) -> list[str]:
    return [item.problem for item in items if isinstance(item, BadRow)]


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
