"""One input file to tokenised rows, ready to be sorted and cut into shards."""

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
from inflib.data.output_columns import KEPT_AS, is_reserved
from inflib.data.planting import plant, selected
from inflib.data.ratings import Ratings, read_ratings
from inflib.data.row_schema import BAD, OUTSIDE, ROWS, TOO_LONG, USED, Place
from inflib.data.tokens import Tokens, tokenize
from inflib.files.readers import BadRow, find_files, kind_of, read_rows
from inflib.numerics.hash_sampling import in_part
from inflib.shapes.pairs import Message, Pair, Render, to_pair


def read_file(
    pairs: str, file: str, file_name: str, recipe: Recipe
) -> Iterator[pa.Table]:
    """Tables of ROWS with the rows of one file, up to 512 in each; `pairs` names its
    pair set.

    file_name: start of the pair_id of rows that have none.
    """
    source = recipe.prepare.sources[pairs]
    tokenizer = _tokenizer(recipe.model)
    raw = read_rows(file, source.split)
    while chunk := list(islice(raw, 512)):
        rows: list[dict[str, Any]] = []
        usable: list[Pair] = []
        for item in chunk:
            if not isinstance(item, BadRow):
                pair = to_pair(item, source.columns, _renderer(tokenizer))
                if isinstance(pair, Pair):
                    usable.append(pair)
                    continue
                item = pair
            rows.append(_unused(BAD, item.file, item.row, item.problem))
        rows += _tokenized(usable, file_name, source, recipe.prepare, tokenizer)
        yield pa.Table.from_pylist(
            [row | {"pairs": pairs} for row in rows], schema=ROWS
        )


def _tokenized(
    pairs: list[Pair],
    file_name: str,
    source: SourceConfig,
    config: PrepareConfig,
    tokenizer: Any,
) -> Iterator[dict[str, Any]]:
    """A row of ROWS, but its pair set, for each pair."""
    inside = []
    for pair in pairs:
        if in_part(source.part, pair.prompt):
            inside.append(pair)
        else:
            yield _unused(OUTSIDE, pair.file, pair.row, None)
    if not inside:
        return
    tokens = tokenize(inside, tokenizer, config.max_length, config.append_eos)
    for pair, pair_tokens in zip(inside, tokens, strict=True):
        if isinstance(pair_tokens, str):
            state = BAD if pair_tokens.startswith("identical") else TOO_LONG
            yield _unused(state, pair.file, pair.row, pair_tokens)
        else:
            name = config.margin_column
            margin = 0.0 if name is None else pair.extra.get(name)
            if not _is_number(margin):
                problem = f"no number in prepare.margin_column {name!r}"
                yield _unused(BAD, pair.file, pair.row, problem)
                continue
            row = _row(pair, pair_tokens, f"{file_name}:{pair.row}", source)
            yield row | {"required_margin": margin}


def _row(
    pair: Pair, tokens: Tokens, fallback_id: str, source: SourceConfig
) -> dict[str, Any]:
    """The row of a tokenised pair, with its bias planted; or an unused one, where it
    has no rating or is not selected. fallback_id: pair_id of a pair without one."""
    pair_id = pair.pair_id if pair.pair_id is not None else fallback_id
    sign, extra = pair.sign, dict(pair.extra)
    ratings = None
    if source.ratings is not None:
        all_ratings = _ratings(source.ratings)
        ratings = all_ratings.rating(pair_id, pair.comparison_id, pair.sign)
        if ratings is None:
            return _unused(BAD, pair.file, pair.row, "no rating of this pair")
    lengths = len(tokens.tail_a), len(tokens.tail_b)
    if source.plant is not None:
        sign, extra["planted"], extra["planted_flip"] = plant(
            source.plant, pair_id, sign, lengths, ratings
        )
    length_difference, rating_difference = sign * (lengths[0] - lengths[1]), None
    if ratings is not None:
        rating_difference = sign * (ratings[0] - ratings[1])
        extra["rating_difference"] = rating_difference
    if not selected(source.select, length_difference, rating_difference):
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
        "length_difference": length_difference,
        "target": 1.0,
        "weight": 1.0,
        "extra": json.dumps(extra),
        "kinds": json.dumps({name: kind_of(value) for name, value in extra.items()}),
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
    """The rows in state USED, without those in `dropped`; with `only`, these alone."""
    names = ("state", "pairs", "file", "file_row")
    columns = [rows[name].to_pylist() for name in names]
    keep = [
        state == USED and place not in dropped and (only is None or place in only)
        for state, *where in zip(*columns, strict=True)
        for place in [tuple(where)]
    ]
    return rows.filter(pa.array(keep, pa.bool_()))


def _free_name(name: str) -> str:
    """Name under which a column is kept that may be called like an output column."""
    return KEPT_AS + name if is_reserved(name) else name


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


@functools.lru_cache(maxsize=4)
def _ratings(paths: str | tuple[str, ...]) -> Ratings:
    return read_ratings(find_files(paths))


@functools.lru_cache(maxsize=1)
def _tokenizer(model: ModelConfig) -> Any:
    # Imported here: it loads torch, which tasks that do not tokenise never need.
    from inflib.data.tokenizer import load_tokenizer

    return load_tokenizer(model)


def _renderer(tokenizer: Any) -> Render:
    """The tokenizer's chat template. Raises ValueError for messages it refuses."""

    def render(messages: list[Message], add_generation_prompt: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template refuses it: {error}") from None

    return render
