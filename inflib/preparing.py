"""One input file to rows ready for sharding; sorted rows to the tables of a shard."""

import functools
import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import jinja2
import pyarrow as pa

from inflib.bias import in_part, plant, selected
from inflib.config import Recipe
from inflib.config_data import PrepareConfig, SourceConfig
from inflib.pairs import Message, Pair, Render, to_pair
from inflib.pairs_folder import COMPARISONS, EXCLUDED, LABELS
from inflib.ratings import Ratings, read_ratings
from inflib.readers import BadRow, find_files, kind_of, read_rows
from inflib.tokens import Tokens, tokenize

USED, BAD, TOO_LONG, OUTSIDE = "used", "bad", "too long", "outside"
"""State of a row. OUTSIDE rows were not asked for (part, select)."""

ROWS = pa.schema(
    [
        ("pairs", pa.string()),
        ("state", pa.string()),
        ("file", pa.string()),
        ("file_row", pa.int64()),
        ("problem", pa.string()),
        ("pair_id", pa.string()),
        ("sign", pa.int8()),
        ("length", pa.int32()),
        ("total", pa.int32()),
        ("length_difference", pa.int32()),
        ("required_margin", pa.float64()),
        ("extra", pa.string()),
        ("kinds", pa.string()),
        *COMPARISONS,
    ]
)
_OUTPUT = {"margin", "loss", "gradient_norm", "status", *LABELS.names}
_OUTPUT_GROUPS = ("influence_", "flip_effect_", "rank_")


def read_file(
    pairs: str, file: str, file_name: str, recipe: Recipe
) -> Iterator[pa.Table]:
    """Tables of ROWS for one file of the named pair set.

    file_name starts the ids of rows that have none of their own.
    """
    source = recipe.prepare.sources[pairs]
    model = recipe.model
    tokenizer = _tokenizer(model.base, model.revision, model.trust_remote_code)
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


Place = tuple[str, str, int]
"""(pair set, file, row)."""


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


def shard_tables(
    rows: pa.Table, kept: dict[str, pa.DataType]
) -> tuple[pa.Table, pa.Table]:
    """(comparisons, labels) of a shard, from its rows sorted by comparison."""
    comparisons: list[dict[str, Any]] = []
    for row in rows.select(COMPARISONS.names).to_pylist():
        if not comparisons or comparisons[-1]["comparison_id"] != row["comparison_id"]:
            comparisons.append(row)
    return (
        pa.Table.from_pylist(comparisons, schema=COMPARISONS),
        label_table(rows, kept),
    )


def label_table(rows: pa.Table, kept: dict[str, pa.DataType]) -> pa.Table:
    """The labels in rows sorted by comparison; `row` counts their comparisons."""
    labels: list[dict[str, Any]] = []
    own = [name for name in LABELS.names if name != "row"]
    for row in rows.select([*own, "extra"]).to_pylist():
        extra = json.loads(row.pop("extra"))
        row |= {name: _cast(extra.get(name), kind) for name, kind in kept.items()}
        same = labels and labels[-1]["comparison_id"] == row["comparison_id"]
        at = labels[-1]["row"] + (not same) if labels else 0
        labels.append(row | {"row": at})
    return pa.Table.from_pylist(labels, schema=pa.schema([*LABELS, *kept.items()]))


def kept_columns(kinds: set[str], skip_null: bool = False) -> dict[str, pa.DataType]:
    """Types of the kept extra columns, over all rows; mixed ones become text, and so
    do those that are null everywhere, unless skipped."""
    found: dict[str, set[str]] = {}
    for text in sorted(kinds):
        for name, kind in json.loads(text).items():
            found.setdefault(name, set()).add(kind)
    types = {
        frozenset({"bool"}): pa.bool_(),
        frozenset({"int"}): pa.int64(),
        frozenset({"float"}): pa.float64(),
        frozenset({"int", "float"}): pa.float64(),
    }
    return {
        name: types.get(frozenset(kinds - {"null"}), pa.string())
        for name, kinds in sorted(found.items())
        if not skip_null or kinds != {"null"}
    }


def plan_shards(totals: Sequence[int], shard_rows: int) -> list[int]:
    """First comparison of every shard but the first, for about equal token counts.

    totals: tokens per comparison, in order. No shard has more than shard_rows.
    """
    target = sum(totals) / max(1, -(-len(totals) // shard_rows))
    cuts, rows, tokens = [], 0, 0
    for i, total in enumerate(totals):
        if rows and (rows == shard_rows or tokens + total / 2 > target):
            cuts.append(i)
            rows, tokens = 0, 0
        rows, tokens = rows + 1, tokens + total
    return cuts


def excluded_table(rows: list[dict[str, Any]]) -> pa.Table:
    """EXCLUDED table in file and row order."""
    rows = sorted(rows, key=lambda row: (row["file"], row["row"]))
    return pa.Table.from_pylist(rows, schema=EXCLUDED)


def _free_name(name: str) -> str:
    taken = name in _OUTPUT or name.startswith(_OUTPUT_GROUPS)
    return f"input_{name}" if taken else name


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _cast(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value)
    return float(value) if pa.types.is_floating(kind) else value


@functools.lru_cache(maxsize=4)
def _ratings(paths: str | tuple[str, ...]) -> Ratings:
    return read_ratings(find_files(paths))


@functools.lru_cache(maxsize=1)
def _tokenizer(base: str, revision: str | None, trust_remote_code: bool) -> Any:
    # Only here: it imports torch, seconds that tasks which do not tokenise save.
    from inflib.tokenizer import load_tokenizer

    return load_tokenizer(base, revision, trust_remote_code)


def _renderer(tokenizer: Any) -> Render:
    def render(messages: list[Message], add_generation_prompt: bool) -> str:
        try:
            return tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template refuses it: {error}") from None

    return render
