"""Copies of payloads on a node's disk."""

import os
import shutil
import tempfile
import time
from collections import namedtuple

import pytest

from inflib.storage import node_cache


def kept(name):
    """Contents of the copy of this name; None without one."""
    copy = node_cache.find(name)
    return None if copy is None else copy[:]


@pytest.fixture(autouse=True)
def disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_found_until_it_was_not_used_for_a_day(disk):
    assert kept("a") is None
    node_cache.keep("a", b"one")
    node_cache.keep("b", bytearray(b"two"))
    assert kept("a") == b"one"
    (folder,) = disk.iterdir()
    for name in "ab":
        os.utime(folder / name, (0, time.time() - 25 * 3600))
    assert kept("b") == b"two"  # used just now
    node_cache.keep("c", b"three")
    assert {path.name for path in folder.iterdir()} == {"b", "c"}


def test_a_fifth_of_the_disk_stays_free(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 790, 210))
    node_cache.keep("a", bytes(11))
    assert kept("a") is None
    node_cache.keep("a", bytes(10))
    assert kept("a") == bytes(10)


def test_without_a_disk_nothing_is_kept(disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(disk / "missing"))
    node_cache.keep("a", b"one")
    assert kept("a") is None
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    (disk / "elsewhere").mkdir()
    (disk / f"inflib-payloads-{os.getuid()}").symlink_to(disk / "elsewhere")
    node_cache.keep("a", b"one")
    assert kept("a") is None and not any((disk / "elsewhere").iterdir())
