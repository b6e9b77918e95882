"""Columns and states of rows on their way from input files to shards."""

import pyarrow as pa

from inflib.data.pairs_folder import COMPARISONS

USED, BAD, TOO_LONG, OUTSIDE = "used", "bad", "too long", "outside"
"""States of a row. Only USED rows become labels. OUTSIDE: the recipe leaves the row out
(part, select)."""


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
        ("target", pa.float64()),
        ("weight", pa.float64()),
        ("extra", pa.string()),
        ("kinds", pa.string()),
        *COMPARISONS,
    ]
)
"""One input row. pairs: its pair set; problem: why it is BAD or TOO_LONG; length:
tokens of the longer full sequence; total: tokens of both; extra: JSON {kept column:
value}; kinds: JSON {kept column: type of the value}; the others as in LABELS and
COMPARISONS."""


Place = tuple[str, str, int]
"""(pair set, input file, row in it): what identifies an input row."""
