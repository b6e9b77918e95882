"""Every input format, its row numbers, and rows that cannot be read."""

import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inflib.files.paths import _of_hub as of_hub
from inflib.files.paths import find_files, fingerprint
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions
from inflib.files.readers import read_rows

ROWS = [{"chosen": "a", "rejected": "b"}, {"chosen": "c, d", "rejected": 'say "e"\n'}]


def read(path):
    return list(read_rows(str(path)))


def expect_rows(path):
    rows = read(path)
    assert [r.fields for r in rows] == ROWS
    assert [r.row for r in rows] == [1, 2]
    assert {r.file for r in rows} == {str(path)}


def test_jsonl_plain_and_gzipped(tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "x.jsonl").write_text(text)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    expect_rows(tmp_path / "x.jsonl")
    expect_rows(tmp_path / "x.jsonl.gz")


def test_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    expect_rows(tmp_path / "x.parquet")


def test_csv(tmp_path):
    (tmp_path / "x.csv").write_text('chosen,rejected\na,b\n"c, d","say ""e""\n"\n')
    expect_rows(tmp_path / "x.csv")


def test_datasets_folder_and_split(tmp_path):
    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(tmp_path / "one")
    expect_rows(tmp_path / "one")
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "splits")
    expect_rows(tmp_path / "splits")
    with pytest.raises(ValueError, match="no split 'dev', only \\['train'\\]"):
        list(read_rows(str(tmp_path / "splits"), ReadOptions("dev")))


def test_a_broken_json_line_is_named_and_the_next_one_read(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"chosen": "a"\n\n[1]\n{"chosen": "b"}\n')
    broken, wrong, good = read(path)
    assert (broken.row, wrong.row, good.row) == (1, 3, 4)
    assert broken.problem.startswith("broken JSON")
    assert wrong.problem == "not an object but list"
    assert isinstance(good, RawRow)


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"chosen": "\xff"}\n{"chosen": "b"}\n')
    bad, good = read(path)
    assert isinstance(bad, BadRow)
    assert (bad.row, good.row) == (1, 2)


def test_a_csv_row_with_too_many_fields_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("chosen,rejected\na,b,c\nd,e\n")
    bad, good = read(path)
    assert (bad.row, bad.problem) == (1, "more fields than the header names")
    assert good.fields == {"chosen": "d", "rejected": "e"}


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("no")
    (bad,) = read(path)
    assert bad.problem.startswith("not a Parquet file")


def test_an_unknown_format_says_what_to_do(tmp_path):
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(ValueError, match=r"x\.txt: cannot tell its format; name"):
        read(tmp_path / "x.txt")


def test_a_replaced_file_has_another_fingerprint(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"chosen": "a"}')
    first = fingerprint(str(path))
    assert first == fingerprint(str(path))
    path.write_text('{"chosen": "b"}')
    assert fingerprint(str(path)) != first
    assert fingerprint("generated:answers?pairs=9&seed=0") == ""


def test_a_change_anywhere_in_a_file_or_a_folder_changes_the_fingerprint(tmp_path):
    path = tmp_path / "x.jsonl"
    size = 5 * 2**20
    contents = bytearray(size)
    path.write_bytes(contents)
    first, folder = fingerprint(str(path)), fingerprint(str(tmp_path))
    for place in (size - 1, size // 2 - 5):
        changed = bytearray(contents)
        changed[place] = 1
        path.write_bytes(changed)
        assert fingerprint(str(path)) != first
        assert fingerprint(str(tmp_path)) != folder


def test_globs_are_sorted_and_a_missing_file_is_named(tmp_path):
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_text("")
    files = find_files(str(tmp_path / "*.jsonl"))
    assert files == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        find_files(str(tmp_path / "nothing.jsonl"))


def test_hub_data_have_a_fingerprint_without_the_private_one():
    import datasets

    rows = {"x": [1, 2, 3], "y": ["a", "b", "c"]}
    digests = []
    for change in ({}, {}, {"y": ["a", "b", "d"]}, {"x": [1, 2, 3.5]}):
        data = datasets.Dataset.from_dict(rows | change)
        assert of_hub(data) == data._fingerprint
        del data._fingerprint
        digests.append(of_hub(data))
    assert digests[0] == digests[1] and len(set(digests)) == 3
