"""Facts of shards on the node's disk: read once, never others', never damaged."""

import tempfile

import pytest
import torch

from inflib.data.pairs_folder import PairsFolder
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder
from tests.support.known_store import Generated, write_set

SIZES = (5, 3)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    return written(tmp_path / "run", seed=0)


def written(path, seed):
    generator = torch.Generator().manual_seed(seed)
    shards = [
        Generated(
            torch.randn(size, 8, generator=generator),
            torch.randn(size, generator=generator),
            torch.full((size, 1), 8.0),
            [1, -1, 1, 1, 1][:size],
        )
        for size in SIZES
    ]
    folder = Folder(str(path))
    write_set(folder, "train", shards, "int8")
    return folder


def facts_of(sketches):
    """All that a pass reads, of all shards."""
    found = []
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        columns = vars(labels) | vars(labels.facts)
        del columns["facts"]
        found.append([*columns.values(), *sketches.payload(shard, labels)])
    return found


def same(first, second):
    return all(
        (a == b).all() if hasattr(a, "shape") else a == b
        for shard, other in zip(first, second, strict=True)
        for a, b in zip(shard, other, strict=True)
    )


def copies(tmp_path):
    return sorted((tmp_path / "node").glob("*/facts-*"))


def test_facts_are_read_from_the_run_once(run, tmp_path, monkeypatch):
    expected = facts_of(SketchSet(run, "train"))
    assert copies(tmp_path) == []  # without a version
    sketches = SketchSet(run, "train", version="v1")
    assert same(facts_of(sketches), expected)
    assert [path.name for path in copies(tmp_path)] == [
        "facts-v1-train-00000",
        "facts-v1-train-00001",
    ]
    plan = sketches.plan()
    monkeypatch.setattr(Folder, "read_bytes", None)  # any read of the run would fail
    monkeypatch.setattr(PairsFolder, "plan", lambda folder: plan)
    assert same(facts_of(sketches), expected)


def test_damaged_copies_are_read_anew(run, tmp_path):
    sketches = SketchSet(run, "train", version="v1")
    expected = facts_of(sketches)
    first, second = copies(tmp_path)
    data = first.read_bytes()
    first.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    second.write_bytes(b"")
    assert same(facts_of(sketches), expected)
    assert first.read_bytes() == data


def test_another_version_reads_its_own_sketches(run, tmp_path):
    old = facts_of(SketchSet(run, "train", version="v1"))
    new = written(tmp_path / "other", seed=1)
    assert not same(facts_of(SketchSet(new, "train", version="v2")), old)
    passes = Passes(new, 1, version="v2")
    assert passes.moments() == Passes(new, 1).moments()
