"""Rows on their way from input files to shards: their columns and states."""

import pyarrow as pa

from inflib.data.pairs_folder import COMPARISONS

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


Place = tuple[str, str, int]
"""(pair set, file, row)."""
