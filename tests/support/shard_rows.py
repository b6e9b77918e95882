"""Rows on their way to shards, as readers leave them."""

import json

import pyarrow as pa

from inflib.data.row_schema import ROWS, place_of


def kinds(**columns):
    return json.dumps(columns)


def row(pair_id, comparison_id="c0", **fields):
    whole = {
        "pairs": "train",
        "state": "used",
        "file": "f",
        "file_row": 1,
        "first": True,
        "pair_id": pair_id,
        "marks": [],
        "sign": 1,
        "length": 10,
        "total": 20,
        "length_difference": 2,
        "extra": json.dumps({"labeler": "ana", "time": 3}),
        "kinds": kinds(labeler="str", time="int"),
        "comparison_id": comparison_id,
        "prefix": [1],
        "a": [2],
        "b": [3, 4],
        "num_cut": 0,
        "prompt": "P",
        "response_a": "A",
        "response_b": "B",
    } | fields
    return whole | {"place": place_of("train", "f", whole["file_row"])}


def unused(state, file_row, **fields):
    where = {"pairs": "train", "file": "f", "file_row": file_row, "first": True}
    return where | {"state": state} | fields


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=ROWS)
