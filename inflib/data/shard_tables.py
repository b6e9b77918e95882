"""Sorted rows to the tables of a shard; which comparisons make a shard."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from inflib.data.pairs_folder import COMPARISONS, EXCLUDED, LABELS


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


def _cast(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value)
    return float(value) if pa.types.is_floating(kind) else value
