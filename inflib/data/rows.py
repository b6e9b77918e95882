"""One input file to rows ready for sharding; sorted rows to the tables of a shard."""

import functools
import json
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import jinja2
import pyarrow as pa

from inflib.config.data import PrepareConfig, SourceConfig
from inflib.config.recipe import ModelConfig, Recipe
from inflib.data.hash_sampling import in_part
from inflib.data.output_columns import KEPT_AS, is_reserved
from inflib.data.pairs import Message, Pair, Render, to_pair
from inflib.data.planting import plant, selected
from inflib.data.ratings import Ratings, read_ratings
from inflib.data.readers import BadRow, find_files, kind_of, read_rows
from inflib.data.row_schema import BAD, OUTSIDE, ROWS, TOO_LONG, USED, Place
from inflib.data.tokens import Tokens, tokenize


def read_file(
    pairs: str, file: str, file_name: str, recipe: Recipe
) -> Iterator[pa.Table]:
    """Tables of ROWS for one file of the named pair set.

    file_name starts the ids of rows that have none of their own.
    """
    source = recipe.prepare.sources[pairs]
    tokenizer = _tokenizer(recipe.model)
    raw = read_rows(file, source.split)
    while part := list(islice(raw, 512)):
        rows: list[dict[str, Any]] = []
        usable: list[Pair] = []
        for item in part:
            if not isinstance(item, BadRow):
                found = to_pair(item, source.columns, _renderer(tokenizer))
                if isinstance(found, Pair):
                    usable.append(found)
                    continue
                item = found
            rows.append(_unused(BAD, item.file, item.row, item.problem))
        rows += _tokenized(usable, file_name, source, recipe.prepare, tokenizer)
        yield pa.Table.from_pylist([r | {"pairs": pairs} for r in rows], schema=ROWS)


def _tokenized(
    pairs: list[Pair],
    file_name: str,
    source: SourceConfig,
    config: PrepareConfig,
    tokenizer: Any,
) -> Iterator[dict[str, Any]]:
    inside = []
    for pair in pairs:
        if in_part(source.part, pair.prompt):
            inside.append(pair)
        else:
            yield _unused(OUTSIDE, pair.file, pair.row, None)
    if not inside:
        return
    tokens = tokenize(inside, tokenizer, config.max_length, config.append_eos)
    for pair, found in zip(inside, tokens, strict=True):
        if isinstance(found, str):
            state = BAD if found.startswith("identical") else TOO_LONG
            yield _unused(state, pair.file, pair.row, found)
        else:
            name = config.margin_column
            margin = 0.0 if name is None else pair.extra.get(name)
            if not _is_number(margin):
                problem = f"no number in prepare.margin_column {name!r}"
                yield _unused(BAD, pair.file, pair.row, problem)
                continue
            row = _row(pair, found, f"{file_name}:{pair.row}", source)
            yield row | {"required_margin": margin}


def _row(
    pair: Pair, tokens: Tokens, fallback_id: str, source: SourceConfig
) -> dict[str, Any]:
    pair_id = pair.pair_id if pair.pair_id is not None else fallback_id
    sign, extra = pair.sign, dict(pair.extra)
    ratings = None
    if source.ratings is not None:
        known = _ratings(source.ratings)
        ratings = known.rating(pair_id, pair.comparison_id, pair.sign)
        if ratings is None:
            return _unused(BAD, pair.file, pair.row, "no rating of this pair")
    lengths = len(tokens.tail_a), len(tokens.tail_b)
    if source.plant is not None:
        sign, extra["planted"], extra["planted_flip"] = plant(
            source.plant, pair_id, sign, lengths, ratings
        )
    difference, rated = sign * (lengths[0] - lengths[1]), None
    if ratings is not None:
        rated = extra["rating_difference"] = sign * (ratings[0] - ratings[1])
    if not selected(source.select, difference, rated):
        return _unused(OUTSIDE, pair.file, pair.row, None)
    extra = {_free_name(name): value for name, value in extra.items()}
    a, b = pair.responses
    return {
        "state": USED,
        "file": pair.file,
        "file_row": pair.row,
        "pair_id": pair_id,
        "sign": sign,
        "length": tokens.length,
        "total": tokens.total,
        "length_difference": difference,
        "extra": json.dumps(extra),
        "kinds": json.dumps({n: kind_of(v) for n, v in extra.items()}),
        "comparison_id": pair.comparison_id,
        "prefix": tokens.prefix,
        "a": tokens.tail_a,
        "b": tokens.tail_b,
        "num_cut": tokens.num_cut,
        "prompt": pair.prompt,
        "response_a": a,
        "response_b": b,
    }


def _unused(state: str, file: str, row: int, problem: str | None) -> dict[str, Any]:
    return {"state": state, "file": file, "file_row": row, "problem": problem}


def used_rows(
    rows: pa.Table, dropped: set[Place], only: set[Place] | None = None
) -> pa.Table:
    """The rows that are used and not dropped; with `only`, those of them."""
    names = ("state", "pairs", "file", "file_row")
    columns = [rows[name].to_pylist() for name in names]
    keep = [
        state == USED and place not in dropped and (only is None or place in only)
        for state, *where in zip(*columns, strict=True)
        for place in [tuple(where)]
    ]
    return rows.filter(pa.array(keep, pa.bool_()))


def _free_name(name: str) -> str:
    return KEPT_AS + name if is_reserved(name) else name


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


@functools.lru_cache(maxsize=4)
def _ratings(paths: str | tuple[str, ...]) -> Ratings:
    return read_ratings(find_files(paths))


@functools.lru_cache(maxsize=1)
def _tokenizer(model: ModelConfig) -> Any:
    # Only here: it imports torch, seconds that tasks which do not tokenise save.
    from inflib.data.tokenizer import load_tokenizer

    return load_tokenizer(model)


def _renderer(tokenizer: Any) -> Render:
    def render(messages: list[Message], add_generation_prompt: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template refuses it: {error}") from None

    return render
