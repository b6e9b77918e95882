"""Files of exports are whole, and those that come back are read as they are saved."""

import json

import fsspec
import pyarrow as pa
import pytest

from inflib.export.reviewed import read_reviewed
from inflib.export.target_files import new_file
from inflib.export.trl_rows import RowFormat, rows_of


@pytest.mark.parametrize("scheme", ["memory://", ""])
def test_a_file_that_was_cut_off_is_not_there(tmp_path, scheme):
    url = f"{scheme}{tmp_path}/x.jsonl"
    fs, path = fsspec.core.url_to_fs(url)
    with pytest.raises(RuntimeError), new_file(url) as file:
        file.write(b"half")
        raise RuntimeError
    assert not fs.exists(path) and not list(tmp_path.iterdir())
    with new_file(url) as file:
        file.write(b"whole")
    assert fs.cat_file(path) == b"whole"


def test_numbers_that_json_does_not_have_are_null():
    label = {"pair_id": "p", "comparison_id": "c", "sign": 1, "target": 1.0}
    label |= {"required_margin": 0.0, "weight": 1.0, "file": "f", "file_row": 1}
    labels = [label | {"hours": x} for x in (float("nan"), float("inf"), 2.5)]
    texts = {"comparison_id": "c", "prompt": "p", "response_a": "a", "response_b": "b"}
    rows = rows_of(
        pa.Table.from_pylist(labels),
        pa.Table.from_pylist([texts]),
        {},
        RowFormat("text", "drop", frozenset({"prompt"}), {"hours": "hours"}, {}),
    )
    lines = [json.dumps(row, allow_nan=False) for row in rows]
    assert [json.loads(line)["hours"] for line in lines] == [None, None, 2.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_review_is_read_as_spreadsheets_save_it(tmp_path, encoding, delimiter):
    long = "x" * 200_000  # longer than a cell of Python's csv may be by default
    cells = [["pair_id", "action", "value", "chosen"], ["ä", "flip", "", long]]
    cells += [["b", "", "", long], ["c", "weight", "0.5", "t"]]
    path = tmp_path / "review.csv"
    path.write_text("\n".join(map(delimiter.join, cells)) + "\n", encoding)
    reviewed = read_reviewed(str(path))
    actions = {k: (d.action, d.value) for k, d in reviewed.decisions.items()}
    assert actions == {"ä": ("flip", None), "c": ("weight", 0.5)}
    assert reviewed.open == ["b"]
