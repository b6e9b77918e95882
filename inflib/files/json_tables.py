"""The rows in a JSON file that is one object: {"data": [...]}, {"train": [...]}, or a
table in the layouts of pandas."""

from typing import Any

_LISTS = ("data", "rows", "examples", "records", "instances", "items")
"""Names of the list of rows."""

_SPLITS = ("train", "test", "valid", "val", "dev", "eval")
"""How names of splits start."""


def rows_inside(fields: dict[str, Any], split: str) -> list[Any] | None:
    """The rows that an object holds; None where it is a row itself.

    Raises ValueError for an object of splits that has not this one.
    """
    splits = [n for n in fields if n.startswith(_SPLITS) and _are_objects(fields[n])]
    if splits and len(splits) == len(fields):
        if split not in fields:
            raise ValueError(f"no split {split!r}, only {sorted(fields)}: set split")
        return fields[split]
    if fields.keys() == {"columns", "index", "data"}:
        names, rows = fields["columns"], fields["data"]
        return [dict(zip(names, row, strict=False)) for row in rows]
    for name in _LISTS:
        if _are_objects(fields.get(name)):
            # The hub's viewer puts each row into an object with its number.
            return [row.get("row", row) for row in fields[name]]
    by_key = [cells.keys() for cells in fields.values() if isinstance(cells, dict)]
    if any(keys != by_key[0] for keys in by_key):
        return None
    columns = [_column(cells) for cells in fields.values()]
    if len(columns) < 2 or None in columns or len({len(c or ()) for c in columns}) > 1:
        return None
    return [
        dict(zip(fields, row, strict=True))
        for row in zip(*(column or () for column in columns), strict=True)
    ]


def _are_objects(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) for item in value)
    )


def _column(cells: Any) -> list[Any] | None:
    """The cells of a column: a list, but not of messages, or an object with a cell for
    each number of a row."""
    if isinstance(cells, dict) and cells and all(map(str.isdecimal, cells)):
        return [cells[key] for key in sorted(cells, key=int)]
    if isinstance(cells, list) and len(cells) > 1:
        return None if _are_objects(cells) else cells
    return None
