"""Folders: files are whole or absent, on disk and on an object store."""

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor

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


@pytest.fixture(
    params=["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS", "EINVAL"]
)
def without_links(request, monkeypatch):
    """A file system that has no hard links, and says so in one of the known ways."""

    def link(source, target):
        raise OSError(getattr(errno, request.param), "no hard links here")

    monkeypatch.setattr(os, "link", link)


def test_create_is_exclusive_without_hard_links(tmp_path, without_links):
    folder = Folder(str(tmp_path / "run"))
    test_create_is_exclusive_and_compares(folder)
    assert os.listdir(tmp_path / "run") == ["record.json"]


def test_one_of_many_writers_creates_a_file(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", link)
    folder = Folder(str(tmp_path))

    def create(number):
        try:
            folder.create("record.json", b"%d" % number * 1000)
        except ValueError:
            return None
        return number

    for _ in range(20):
        with ThreadPoolExecutor(8) as writers:
            winners = [n for n in writers.map(create, range(8)) if n is not None]
        (winner,) = winners
        assert folder.read_bytes("record.json") == b"%d" % winner * 1000
        assert os.listdir(tmp_path) == ["record.json"]
        folder.delete("record.json")


def test_create_works_without_locks_as_well(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    test_create_is_exclusive_and_compares(Folder(str(tmp_path / "run")))


def test_a_folder_that_is_not_writable_is_still_told(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    folder = Folder(str(tmp_path))
    monkeypatch.setattr("inflib.storage.folder._write_scratch", forbidden)
    with pytest.raises(PermissionError, match="check its rights"):
        folder.create("record.json", b"{}")
