"""Shards of sketches on disk: encoding error, commit order, digests, the index."""

import numpy as np
import pytest
import torch

from inflib.data.pairs_folder import Shard
from inflib.sketches import store
from inflib.storage.folder import Folder

N, K = 5, 32


def sketches():
    rows = torch.randn(N, K, generator=torch.Generator().manual_seed(0))
    rows *= torch.tensor([1e-6, 1.0, 1e6, 0.0, 3.0])[:, None]
    return rows


def rows(scale, margin=0.5):
    return store.Rows(
        [f"c{i}" for i in range(N)],
        np.array([margin, 1.0, np.nan, 0.0, -2.0]),
        np.array([1.0, 2.0, np.nan, 0.0, 5.0])[:, None],
        scale,
        ["ok", "ok", "not_finite", "zero_gradient", "ok"],
    )


def commit(folder, shard="00000", **changes):
    payload, scale = store.encode(sketches(), "float16")
    store.commit(folder, shard, payload, rows(scale.numpy(), **changes), "pairs-digest")


def plan(*names, sha256="pairs-digest"):
    return [Shard(name, N, N, 0, 0, 0, sha256, "labels-digest") for name in names]


def digests(folder, shard="00000"):
    return store.Digests.of(store.read_record(folder, shard))


def payload_of(folder, shard="00000"):
    return store.payload_name(shard, digests(folder, shard))


def stored(folder):
    return store.read_payload(folder, "00000", digests(folder))


@pytest.mark.parametrize(("dtype", "step"), [("float16", 2.0**-11), ("int8", 1 / 254)])
def test_encoding_is_within_half_a_step_of_the_largest_entry(dtype, step):
    payload, scale = store.encode(sketches(), dtype)
    assert payload.dtype == dtype
    decoded = store.decode(payload, scale.numpy())
    largest = sketches().abs().amax(dim=1, keepdim=True)
    assert ((decoded - sketches()).abs() <= step * largest * (1 + 1e-5)).all()
    assert (decoded[3] == 0).all()  # an all-zero row, not NaN


def test_a_shard_is_read_as_it_was_written(tmp_path):
    folder = Folder(str(tmp_path))
    commit(folder)
    assert store.completed(folder, plan("00000", "00001")) == {"00000"}
    read = store.read_rows(store.read_record(folder, "00000"))
    payload, scale = store.encode(sketches(), "float16")
    written = rows(scale.numpy())
    np.testing.assert_array_equal(read.margin, written.margin)
    np.testing.assert_array_equal(read.sq_norms, written.sq_norms)
    np.testing.assert_array_equal(read.scale, written.scale)
    assert (read.comparison_id, read.status) == (written.comparison_id, written.status)
    np.testing.assert_array_equal(stored(folder), payload)


def test_without_its_record_or_its_payload_a_shard_is_not_complete(tmp_path):
    folder = Folder(str(tmp_path))
    commit(folder)
    folder.delete(payload_of(folder))
    commit(folder, "00001")
    folder.delete("00001.json")
    assert store.completed(folder, plan("00000", "00001")) == set()
    assert [name[:6] for name in store.leftovers(folder)] == ["00001-"]


def test_a_record_of_another_plan_is_refused(tmp_path):
    folder = Folder(str(tmp_path))
    commit(folder)
    with pytest.raises(ValueError, match=r"00000\.json was sketched from another plan"):
        store.completed(folder, plan("00000", sha256="other"))


def test_a_second_writer_of_other_contents_is_refused_and_changes_nothing(tmp_path):
    folder = Folder(str(tmp_path))
    commit(folder)
    commit(folder)
    with pytest.raises(ValueError, match="another writer left different contents"):
        commit(folder, margin=0.25)
    payload, scale = store.encode(2 * sketches() + 1, "float16")
    with pytest.raises(ValueError, match="another writer left different contents"):
        store.commit(folder, "00000", payload, rows(scale.numpy()), "pairs-digest")
    first, _ = store.encode(sketches(), "float16")
    np.testing.assert_array_equal(stored(folder), first)
    assert len(store.leftovers(folder)) == 1  # the other writer's payload


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "emptied"])
def test_a_changed_payload_is_noticed(tmp_path, damage):
    folder = Folder(str(tmp_path))
    commit(folder)
    name = payload_of(folder)
    data = bytearray(folder.read_bytes(name))
    data[-3] ^= 1
    length = {"flipped bit": len(data), "truncated": len(data) - 8, "emptied": 0}
    folder.write(name, bytes(data[: length[damage]]))
    with pytest.raises(ValueError, match=rf"{name} does not match"):
        stored(folder)


def test_the_index_holds_all_rows_in_order(tmp_path):
    folder = Folder(str(tmp_path))
    commit(folder, "00000")
    commit(folder, "00001", margin=0.75)
    store.write_index(folder, ["00000", "00001"])
    index = folder.read_table("index.parquet")
    assert index["shard"].to_pylist() == ["00000"] * N + ["00001"] * N
    assert index["margin"].to_pylist()[:3] == [0.5, 1.0, None]
    assert index["margin"].to_pylist()[N] == 0.75
