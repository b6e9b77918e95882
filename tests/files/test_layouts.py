"""Files in which rows stand inside something else, and files that are no data."""

import io
import json
import os
import tarfile
import zipfile

import pytest

from inflib.files.paths import find_files, fingerprint, is_dataset
from inflib.files.raw_rows import BadRow, RawRow, ReadOptions
from inflib.files.readers import read_rows

ROWS = [
    {"prompt": "Q ", "chosen": "a, b", "rejected": "c"},
    {"prompt": "R ", "chosen": "d", "rejected": "e"},
    {"prompt": "S ", "chosen": "f", "rejected": "g"},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def fields(path, **options):
    rows = list(read_rows(str(path), ReadOptions(**options)))
    assert [row.row for row in rows] == list(range(1, 1 + len(rows)))
    return [row.fields if isinstance(row, RawRow) else row.problem for row in rows]


@pytest.mark.parametrize(
    "value",
    [
        {"data": ROWS},
        {"version": "1", "data": ROWS, "info": {}},
        {"train": ROWS, "test": ROWS[:1]},
        {"rows": [{"row_idx": i, "row": r} for i, r in enumerate(ROWS)], "total": 3},
        COLUMNS,
        {name: dict(enumerate(cells)) for name, cells in COLUMNS.items()},
        {
            "columns": [*COLUMNS],
            "index": [0, 1, 2],
            "data": [[*row.values()] for row in ROWS],
        },
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_in_one_object(tmp_path, value, indent):
    (tmp_path / "x.json").write_text(json.dumps(value, indent=indent))
    assert fields(tmp_path / "x.json") == ROWS


def test_the_split_of_one_object_is_chosen(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"test": ROWS, "dev": ROWS[:1]}))
    assert fields(tmp_path / "x.json", split="dev") == ROWS[:1]
    (bad,) = read_rows(str(tmp_path / "x.json"))
    assert isinstance(bad, BadRow)
    assert bad.problem == "no split 'train', only ['dev', 'test']: set split"


@pytest.mark.parametrize(
    "row",
    [
        ROWS[0],
        {},
        {"prompt": "Q", "completions": [{"text": "a"}, {"text": "b"}]},
        {
            "chosen": [{"role": "user", "content": "Q"}] * 2,
            "rejected": [{"role": "user", "content": "Q"}] * 2,
        },
        {"prompt": "Q", "responses": ["a", "b"], "scores": [1, 2]},
        {"data": {"prompt": "Q"}, "annotations": []},
    ],
)
def test_one_row_alone_stays_a_row(tmp_path, row):
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    assert fields(tmp_path / "x.jsonl") == [row]


def test_an_archive_gives_its_data_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x/README.md", "# Labels, of us\n")
        archive.writestr("x/dataset_infos.json", '{"default": {}}')
        archive.writestr("x/labels.jsonl", LINES)
    assert fields(tmp_path / "x.zip") == ROWS


def test_descriptions_in_a_folder_are_no_data(tmp_path):
    (tmp_path / "labels.jsonl").write_text(LINES)
    for name in ("dataset_infos.json", "dataset_info.json"):
        (tmp_path / name).write_text('{"default": {}}')
    assert not is_dataset(str(tmp_path))
    assert find_files(str(tmp_path)) == [str(tmp_path / "labels.jsonl")]


@pytest.mark.parametrize(
    "text",
    [
        'sep=;\r\nprompt;chosen;rejected\r\n"Q ";"a, b";c\r\n',
        'prompt, chosen, rejected\n"Q ", "a, b", c\n',
    ],
)
def test_csv_that_says_its_delimiter_or_has_blanks_behind_it(tmp_path, text):
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert fields(tmp_path / "x.csv") == ROWS[:1]


def test_files_that_are_no_data_are_named(tmp_path):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("labels.jsonl")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES.encode()))
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "x.jsonl").write_text(pointer)
    for name, said in (
        ("x.tar.gz", "a tar archive"),
        ("x.xlsx", "a workbook"),
        ("x.jsonl", "a pointer of Git LFS"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: {said}"):
            list(read_rows(str(tmp_path / name)))
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    assert fields(tmp_path / "x.zip") == [
        "damaged, it cannot be read: File is not a zip file"
    ]


def test_columns_by_row_number_are_joined_by_the_number(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(
        '{"prompt": {"0": "Q0", "1": "Q1"}, "chosen": {"1": "g1", "0": "g0"}, '
        '"rejected": {"0": "b0", "1": "b1"}}'
    )
    rows = [row.fields for row in read_rows(str(path)) if isinstance(row, RawRow)]
    assert rows == [
        {"prompt": f"Q{i}", "chosen": f"g{i}", "rejected": f"b{i}"} for i in "01"
    ]


def test_a_change_anywhere_in_a_large_file_is_noticed(tmp_path):
    path = tmp_path / "x.jsonl"
    data = bytearray(b"x" * 9_000_000)
    path.write_bytes(data)
    before = fingerprint(str(path))
    data[2_300_000] = ord("y")
    path.write_bytes(data)
    assert fingerprint(str(path)) != before


def test_a_file_by_several_names_is_read_once(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"x": 1}\n')
    (tmp_path / "a.jsonl").symlink_to(path)
    other = tmp_path / "c.jsonl"
    other.write_text('{"x": 2}\n')
    assert find_files(str(tmp_path)) == [str(path), str(other)]
    names = (f"{tmp_path}/../{tmp_path.name}/b.jsonl", str(path), f"file://{path}")
    assert [*map(os.path.realpath, find_files(names))] == [str(path)]
    assert find_files(str(tmp_path / "a.jsonl")) == [str(tmp_path / "a.jsonl")]
