"""One input file to tokenised rows, ready to be sorted and cut into shards."""

import functools
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inflib.config.data import PrepareConfig, SourceConfig
from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.data.chat_rendering import renderer
from inflib.data.input_files import option_of, shape_of
from inflib.data.label_index import id_with_labeler
from inflib.data.output_columns import KEPT_AS, is_reserved
from inflib.data.planting import plant, selected
from inflib.data.question import Question
from inflib.data.ratings import Ratings, read_ratings
from inflib.data.row_schema import (
    BAD,
    OUTSIDE,
    ROWS,
    TOKENS_NEEDED,
    TOO_LONG,
    USED,
    place_of,
)
from inflib.data.tokens import Tokens, tokenize
from inflib.files.parts import Part, read_part
from inflib.files.paths import find_files
from inflib.files.raw_rows import BadRow, kind_of
from inflib.files.readers import options_of, read_rows
from inflib.numerics.hash_sampling import in_part
from inflib.shapes.cells import id_text, number
from inflib.shapes.gathering import GATHERED, gathered
from inflib.shapes.judged import TIE
from inflib.shapes.pairs import TIED, Pair, to_pairs
from inflib.shapes.shape import Shape
from inflib.shapes.split import Render

TokensOf = Callable[[list[Pair]], list[Tokens | str]]


def read_file(
    pairs: str,
    file: str,
    file_name: str,
    recipe: Recipe,
    shape: Shape | None = None,
    part: Part | None = None,
    date: str | None = None,
) -> Iterator[pa.Table]:
    """Tables of ROWS with the labels of one file, some 512 in each, and with its rows
    that give none; `pairs` names its pair set.

    file_name: start of the pair_id of rows that have none; shape: of the file's rows;
    None: told from the first ones; part: of the file; None: all of it;
    date: that chat templates print, see chat_rendering.
    """
    source = recipe.prepare.sources[pairs]
    tokenizer = _tokenizer(recipe.model)
    shape = shape or shape_of(source, option_of(pairs), file)
    render = renderer(tokenizer, date)
    labels = read_labels(file, shape, source, render, part)
    tokens_of = _tokens_of(recipe, tokenizer, render)
    while chunk := list(islice(labels, 512)):
        rows = [_unused(item, number) for item, number in chunk if not _is_pair(item)]
        usable = [(item, number) for item, number in chunk if isinstance(item, Pair)]
        rows += _tokenized(usable, file_name, source, recipe.prepare, tokens_of)
        for row in rows:
            number = row.pop("number")
            place = place_of(pairs, row["file"], row["file_row"], number)
            row |= {"pairs": pairs, "place": place, "first": number == 0}
        yield pa.Table.from_pylist(rows, schema=ROWS)


def read_labels(
    file: str,
    shape: Shape,
    source: SourceConfig,
    render: Render,
    part: Part | None = None,
) -> Iterator[tuple[Pair | BadRow, int]]:
    """(label or bad row, its number in its input row, from 0) of one file.

    render: the chat template; part: of the file; None: all of it.
    """
    options = options_of(source)
    rows = read_part(file, part, options) if part else read_rows(file, options)
    if shape.format in GATHERED:
        rows, shape = gathered(rows, shape)
    number, last = 0, None
    for row in rows:
        if isinstance(row, BadRow):
            yield row, 0
            continue
        if row.row != last:  # a tree of messages is several rows
            number, last = 0, row.row
        for item in to_pairs(row, shape, source, render):
            yield item, number
            number += 1


def _is_pair(item: Pair | BadRow) -> bool:
    return isinstance(item, Pair)


def _unused(item: Pair | BadRow, number: int, problem: str = "") -> dict[str, Any]:
    """The row of ROWS, but for its place, of what is no label; problem: of a Pair."""
    problem = problem or getattr(item, "problem", "")
    state = {TIED: TIED, "": OUTSIDE}.get(problem, BAD)
    if TOKENS_NEEDED.match(problem):
        state = TOO_LONG
    return {
        "state": state,
        "file": item.file,
        "file_row": item.row,
        "number": number,
        "problem": problem or None,
    }


def _tokenized(
    pairs: list[tuple[Pair, int]],
    file_name: str,
    source: SourceConfig,
    config: PrepareConfig,
    tokens_of: TokensOf,
) -> Iterator[dict[str, Any]]:
    """A row of ROWS, but for its place, for each pair."""
    inside = []
    for pair, number_in_row in pairs:
        if in_part(source.part, pair.prompt_key):
            inside.append((pair, number_in_row))
        else:
            yield _unused(pair, number_in_row)
    if not inside:
        return
    tokens = tokens_of([pair for pair, _ in inside])
    for (pair, number_in_row), pair_tokens in zip(inside, tokens, strict=True):
        if isinstance(pair_tokens, str):
            yield _unused(pair, number_in_row, pair_tokens)
            continue
        margin = _required_margin(pair, source, config)
        if margin is None:
            name = config.margin_column
            problem = f"no number in prepare.margin_column {name!r}"
            yield _unused(pair, number_in_row, problem)
            continue
        suffix = f":{pair.name}" if pair.name else ""
        fallback_id = f"{file_name}:{pair.row}{suffix}"
        row = _row(pair, pair_tokens, fallback_id, source)
        if isinstance(row, str):
            yield _unused(pair, number_in_row, row)
        else:
            yield row | {"required_margin": margin, "number": number_in_row}


def _tokens_of(recipe: Recipe, tokenizer: Any, render: Render) -> TokensOf:
    """Pairs to what the recipe's model computes of them."""
    config = recipe.prepare
    if recipe.model.margin == "generative":
        question = Question(recipe.model, tokenizer, render)
        return lambda pairs: question.tokenize(pairs, config.max_length)
    return lambda pairs: tokenize(
        pairs, tokenizer, config.max_length, config.append_eos
    )


def _required_margin(
    pair: Pair, source: SourceConfig, config: PrepareConfig
) -> float | None:
    """The margin that the loss requires; None where there is no number."""
    if source.strength == "margin":
        return 0.0 if pair.target == TIE else pair.strength or 0.0
    if config.margin_column is None:
        return 0.0
    return number(pair.extra.get(config.margin_column))


def _row(
    pair: Pair, tokens: Tokens, fallback_id: str, source: SourceConfig
) -> dict[str, Any] | str:
    """The row of a tokenised pair, with its bias planted; or why it is none, "" where
    it is not selected. fallback_id: pair_id of a pair without one."""
    pair_id = pair.pair_id if pair.pair_id is not None else fallback_id
    sign, extra = pair.sign, dict(pair.extra)
    ratings = None
    if source.ratings is not None:
        all_ratings = _ratings(source.ratings)
        ratings = all_ratings.rating(pair_id, pair.comparison_id, pair.sign)
        if ratings is None:
            return "no rating of this pair"
    lengths = tokens.lengths
    if source.plant is not None:
        sign, extra["planted"], extra["planted_flip"] = plant(
            source.plant, pair_id, sign, lengths, ratings
        )
    length_difference, rating_difference = sign * (lengths[0] - lengths[1]), None
    if ratings is not None:
        rating_difference = sign * (ratings[0] - ratings[1])
        extra["rating_difference"] = rating_difference
    if not selected(source.select, length_difference, rating_difference):
        return ""
    extra = {_free_name(name): value for name, value in extra.items()}
    a, b = pair.responses
    labeler = id_text(pair.extra.get("labeler"))
    return {
        "state": USED,
        "file": pair.file,
        "file_row": pair.row,
        "pair_id": pair_id,
        "labeler": labeler if pair.pair_id is not None and not pair.name else None,
        "marks": [*pair.texts.marks, *tokens.marks],
        "sign": sign,
        "length": tokens.length,
        "total": tokens.total,
        "length_difference": length_difference,
        "target": pair.target,
        "weight": pair.weight,
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
        "messages": pair.messages,
    }


def used_rows(
    rows: pa.Table,
    dropped: np.ndarray | None,
    only: np.ndarray | None,
    by_labeler: frozenset[str],
) -> pa.Table:
    """The rows in state USED but those at the places `dropped`; with `only`, those at
    these places alone (both uint64; None: no such choice).

    by_labeler: pair sets whose labels are told by pair_id and labeler.
    """
    place = rows["place"].to_numpy()
    keep = np.array(rows["state"].to_pylist(), dtype=object) == USED
    if dropped is not None:
        keep &= ~np.isin(place, dropped)
    if only is not None:
        keep &= np.isin(place, only)
    rows = rows.filter(pa.array(keep, pa.bool_()))
    renamed = pc.is_in(rows["pairs"], pa.array(sorted(by_labeler), pa.string()))
    ids = pc.if_else(
        renamed, id_with_labeler(rows["pair_id"], rows["labeler"]), rows["pair_id"]
    )
    return rows.set_column(rows.column_names.index("pair_id"), "pair_id", ids)


def _free_name(name: str) -> str:
    """Name under which a column is kept that may be called like an output column."""
    return KEPT_AS + name if is_reserved(name) else name


@functools.lru_cache(maxsize=4)
def _ratings(paths: str | tuple[str, ...]) -> Ratings:
    return read_ratings(find_files(paths))


@functools.lru_cache(maxsize=1)
def _tokenizer(model: ModelConfig) -> Any:
    # Imported here: it loads torch, which tasks that do not tokenise never need.
    from inflib.data.tokenizer import load_tokenizer

    return load_tokenizer(model)
