"""Folders: files are whole or absent, on disk and on an object store."""

import os

import pyarrow as pa
import pytest

from inflib.storage.folder import SCRATCH, Folder


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def folder(request, tmp_path):
    if request.param == "local":
        return Folder(str(tmp_path / "run"))
    return Folder(f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}")


def test_write_read_replace_delete(folder):
    assert folder.names() == set()
    folder.write("a.bin", b"one")
    folder.write("a.bin", b"two")
    (folder / "inner").write_json("b.json", {"x": [1]})
    assert folder.read_bytes("a.bin") == b"two"
    assert folder.names() == {"a.bin"}
    assert (folder / "inner").read_json("b.json") == {"x": [1]}
    assert folder.exists("inner/b.json")
    assert folder.num_bytes() == 3 + len(folder.read_bytes("inner/b.json"))
    folder.delete("a.bin", "inner/b.json", "never there")
    assert folder.tree() == {}


def test_tables_come_back(folder):
    table = pa.table({"x": [1, 2], "y": ["a", None]})
    digest = folder.write_table("t.parquet", table)
    assert folder.read_table("t.parquet") == table
    assert folder.read_table("t.parquet", ["y"]).column_names == ["y"]
    assert digest == folder.write_table("again.parquet", table)


def test_create_is_exclusive_and_compares(folder):
    folder.create("record.json", b"{}")
    folder.create("record.json", b"{}")  # the same bytes: fine
    with pytest.raises(
        ValueError, match=r"record\.json: another writer left different"
    ):
        folder.create("record.json", b"{1}")
    assert folder.read_bytes("record.json") == b"{}"


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path))
    folder.write("a", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left to write .*free some"):
        folder.write("a", b"new")
    assert folder.read_bytes("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_files_still_being_written_are_not_listed(tmp_path):
    (tmp_path / f"{SCRATCH}123").write_bytes(b"half")
    assert Folder(str(tmp_path)).names() == set()
