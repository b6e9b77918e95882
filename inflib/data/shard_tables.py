"""Token counts to the cuts between shards; sorted rows to the tables of a shard."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from inflib.data.pairs_folder import COMPARISONS, EXCLUDED, LABELS


def shard_tables(
    rows: pa.Table, kept: dict[str, pa.DataType]
) -> tuple[pa.Table, pa.Table]:
    """(COMPARISONS, LABELS with the kept columns) of a shard.

    rows: the shard's rows of ROWS, sorted by comparison_id; kept: {column: type}.
    """
    comparisons: list[dict[str, Any]] = []
    for row in rows.select(COMPARISONS.names).to_pylist():
        if not comparisons or comparisons[-1]["comparison_id"] != row["comparison_id"]:
            comparisons.append(row)
    return (
        pa.Table.from_pylist(comparisons, schema=COMPARISONS),
        label_table(rows, kept),
    )


def label_table(rows: pa.Table, kept: dict[str, pa.DataType]) -> pa.Table:
    """LABELS and the kept columns of rows sorted by comparison_id.

    `row` is the number of the label's comparison among these rows, from 0; kept:
    {column: type}.
    """
    labels: list[dict[str, Any]] = []
    names = [name for name in LABELS.names if name != "row"]
    for row in rows.select([*names, "extra"]).to_pylist():
        extra = json.loads(row.pop("extra"))
        row |= {name: _cast(extra.get(name), kind) for name, kind in kept.items()}
        same = labels and labels[-1]["comparison_id"] == row["comparison_id"]
        number = labels[-1]["row"] + (not same) if labels else 0
        labels.append(row | {"row": number})
    return pa.Table.from_pylist(labels, schema=pa.schema([*LABELS, *kept.items()]))


def kept_columns(kinds: set[str], skip_null: bool = False) -> dict[str, pa.DataType]:
    """{column of the data to keep: its type}, over all rows, sorted by name.

    kinds: all values of the column `kinds` of ROWS. Columns of mixed types become text,
    and so do those that are null in all rows, which skip_null leaves out.
    """
    kinds_by_column: dict[str, set[str]] = {}
    for text in sorted(kinds):
        for name, kind in json.loads(text).items():
            kinds_by_column.setdefault(name, set()).add(kind)
    types = {
        frozenset({"bool"}): pa.bool_(),
        frozenset({"int"}): pa.int64(),
        frozenset({"float"}): pa.float64(),
        frozenset({"int", "float"}): pa.float64(),
    }
    return {
        name: types.get(frozenset(kinds - {"null"}), pa.string())
        for name, kinds in sorted(kinds_by_column.items())
        if not skip_null or kinds != {"null"}
    }


def plan_shards(totals: Sequence[int], shard_rows: int) -> list[int]:
    """Indices of the comparisons at which a new shard starts, 0 left out.

    Shards have about equal token counts, and at most shard_rows comparisons. totals:
    tokens of each comparison, in order.
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
    """EXCLUDED of {file, row, problem}, sorted by file and row."""
    rows = sorted(rows, key=lambda row: (row["file"], row["row"]))
    return pa.Table.from_pylist(rows, schema=EXCLUDED)


def _cast(value: Any, kind: pa.DataType) -> Any:
    """A value as the type of its column wants it."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value)
    return float(value) if pa.types.is_floating(kind) else value
