"""Whatever bytes a file holds, `prepare` reads its rows or lists what it cannot."""

import bz2
import gzip
import io
import json
import lzma
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.local import LocalFileOpener
from hypothesis import given, settings
from hypothesis import strategies as st

from inflib.files.readers import read_rows
from tests.support.fuzzed import is_a_line, prepared, recipe_of

ROWS = [
    {"prompt": f"Ask w{i}w?", "chosen": f"w{i}w yes", "rejected": f"w{i}w no"}
    for i in range(1, 5)
]
TABLE = pa.Table.from_pylist(ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "prompt,chosen,rejected\n" + "".join(
    f'"{row["prompt"]}",{row["chosen"]},{row["rejected"]}\n' for row in ROWS
)


def parquet() -> bytes:
    data = io.BytesIO()
    pq.write_table(TABLE, data, row_group_size=2)
    return data.getvalue()


def arrow(new: Callable[..., Any]) -> bytes:
    data = io.BytesIO()
    with new(data, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    return data.getvalue()


def zipped(data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jsonl", data)
        file.writestr("b/c.csv", data[::-1])
    return archive.getvalue()


WHOLE = {
    "jsonl": LINES.encode(),
    "json": json.dumps(ROWS).encode(),
    "pretty": json.dumps(ROWS, indent=1).encode(),
    "csv": CSV.encode(),
    "tsv": CSV.replace(",", "\t").encode(),
    "utf-16": LINES.encode("utf-16"),
    "parquet": parquet(),
    "arrow": arrow(pa.ipc.new_file),
    "stream": arrow(pa.ipc.new_stream),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".zip": zipped,
}
NAMES = [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ""]
BITS = [
    b"{",
    b"[",
    b"]",
    b'"',
    b"\\",
    b",",
    b"\n",
    b"\r",
    b"\t",
    b";",
    b"\x00",
    b"\xff",
]
BITS += [b"\xef\xbb\xbf", b"\xff\xfe", b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"BZh9"]
BITS += [b"ARROW1", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"\\ud800", b"NaN", b"1e999"]
BITS += [
    b'"chosen": ',
    b"chosen",
    b"9" * 5000,
    b"[" * 2000,
    b"=",
    b"'",
    b"\xe2\x80\xa8",
]


@st.composite
def mangled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with some overwritten, cut out or put in."""
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        gone = draw(st.sampled_from([0, 1, 8, 1000]))
        new = draw(st.one_of(st.sampled_from(BITS), st.binary(max_size=4)))
        data = data[:place] + new + data[place + gone :]
    return data


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """(end of a name, contents) of a file that may be damaged or called wrongly."""
    bits = st.one_of(st.sampled_from(BITS), st.binary(max_size=8))
    if draw(st.integers(0, 3)):
        kind = draw(st.sampled_from(sorted(WHOLE)))
        data = draw(mangled(WHOLE[kind]))
    else:
        kind, data = "jsonl", b"".join(draw(st.lists(bits, max_size=8)))
    packed = draw(st.sampled_from(sorted(PACKED)))
    data = draw(mangled(PACKED[packed](data)))
    usual = f".{kind}" if f".{kind}" in NAMES else ".jsonl"
    name = draw(st.sampled_from([usual, usual, usual, *NAMES]))
    return name + draw(st.sampled_from([packed, packed, *PACKED])), data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


FOUND = {
    "a zip archive without its end": (".zip", zipped(b"{}")[:40]),
    "xz": (".xz", lzma.compress(LINES.encode())[:60] + b"\x00" * 60),
    "zstandard": (".zst", b"\x28\xb5\x2f\xfd \x08A\x001"),
    "a header that is no text": (".csv", b"\xb4" + WHOLE["csv"]),
    "offsets of an Arrow file": (
        ".arrow",
        WHOLE["arrow"].replace(
            struct.pack("<3i", 0, 7, 14), struct.pack("<3i", 0, 2**30, 14)
        ),
    ),
}
"""{what is damaged: end of the name, contents}: files that ended prepare before."""


@pytest.mark.parametrize("damage", FOUND)
def test_damaged_files_are_listed(tmp_path, llama_folder, damage):
    end, data = FOUND[damage]
    (path := tmp_path / f"file{end}").write_bytes(data)
    found = prepared(str(path), recipe_of(str(path), llama_folder))
    assert found.excluded["file"].to_pylist()
    assert not found.labels


def test_a_file_that_cannot_be_reached_is_not_taken_for_a_damaged_one(
    tmp_path, monkeypatch
):
    """Else its labels would be left out, and the audit go on without them."""
    for end in (".jsonl", ".parquet", ".arrow"):
        (path := tmp_path / f"file{end}").write_bytes(LINES.encode())
        rows = read_rows(str(path))
        monkeypatch.setattr(LocalFileOpener, "read", gone)
        with pytest.raises(ConnectionError, match="gave up"):
            list(rows)
        monkeypatch.undo()


def gone(*_: Any) -> bytes:
    raise ConnectionError("s3://b/k: gave up after 16 attempts")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(file=files())
def test_files_of_any_bytes_are_read_or_listed(folder, llama_folder, file):
    name, data = file
    path = folder / f"file{name}"
    path.write_bytes(data)
    try:
        found = prepared(str(path), recipe_of(str(path), llama_folder))
    except ValueError as error:
        assert is_a_line(error, str(path)), error
        return
    finally:
        path.unlink()
    assert len(found.labels) == found.index.states["used"]
    assert len(found.labels) + len(found.excluded) == len(found.rows)
    assert found.index.num_rows == len(found.rows)
    for problem in found.excluded["problem"].to_pylist():
        assert problem.isprintable()
        assert problem
