"""Columns and states of rows on their way from input files to shards."""

import hashlib
import json
import re

import pyarrow as pa

from inflib.data.pairs_folder import COMPARISONS

USED, BAD, TOO_LONG, TIED, OUTSIDE = "used", "bad", "too long", "tie", "outside"
SHARED = "shared"
"""States of a row. Only USED rows become labels. SHARED: a query label on a training
comparison. TIED: a tie, where prepare.*.ties is
drop; OUTSIDE: the recipe leaves the row out (part, select)."""

TOKENS_NEEDED = re.compile(r"responses need (\d+) tokens")
"""How the problem of a TOO_LONG row starts, see data.tokens."""

ROWS = pa.schema(
    [
        ("pairs", pa.string()),
        ("state", pa.string()),
        ("file", pa.string()),
        ("file_row", pa.int64()),
        ("problem", pa.string()),
        ("first", pa.bool_()),
        ("place", pa.uint64()),
        ("pair_id", pa.string()),
        ("labeler", pa.string()),
        ("marks", pa.list_(pa.string())),
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
"""A label on its way, or an input row that gives none. pairs: its pair set; problem:
why it is none; first: whether it is the first of its input row; place: hash of where it
stands, see place_of; labeler: its labeler, where its pair_id is the row's own; marks:
what is unusual about it; length: tokens of the longer full sequence; total: tokens of
both; extra: JSON {kept column: value}; kinds: JSON {kept column: type of the value};
the others as in LABELS and COMPARISONS."""


def place_of(pairs: str, file: str, row: int, number: int = 0) -> int:
    """64-bit hash of a label's place in the input: pair set, file, row, and its number
    in a row of several labels, from 0."""
    text = json.dumps([pairs, file, row, number])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
