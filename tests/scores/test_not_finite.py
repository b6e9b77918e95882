"""Comparisons without a finite, non-zero gradient: recorded, and never in a sum."""

import numpy as np
import pytest
import torch

from inflib.config.score import Curvature
from inflib.data.pairs_folder import PairsFolder
from inflib.scores import score_table, sums
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.sketch_set import SketchSet
from inflib.sketches import store
from inflib.storage.folder import Folder
from tests.support.prepared_run import (
    POISONED,
    ROWS,
    build_run,
    columns,
    names,
    shards,
    sketched,
)


def set_to_zero(recipe, pair_id):
    """Give a comparison the zero gradient that no real model has to the last bit."""
    run = Folder(recipe.run)
    folder, pairs = run / "sketches" / "train", PairsFolder(run / "pairs" / "train")
    for shard in shards(recipe):
        for label in pairs.labels(shard, ["pair_id", "row"]).to_pylist():
            if label["pair_id"] != pair_id:
                continue
            record, row = store.read_record(folder, shard.name), label["row"]
            rows, digests = store.read_rows(record), store.Digests.of(record)
            payload = store.read_payload(folder, shard.name, digests).copy()
            for values in (payload, rows.margin, rows.sq_norms, rows.scale):
                values[row] = 0
            rows.status[row] = store.ZERO
            folder.delete(f"{shard.name}.json")
            store.commit(folder, shard.name, payload, rows, shard.sha256)


def test_poisoned_pairs_are_recorded_and_the_others_keep_their_bits(tmp_path):
    odd = [
        {"pair_id": "long", "prompt": "p ", "chosen": "w " * 100_000, "rejected": "no"},
        {"pair_id": "half", "prompt": "p ", "chosen": "\ud800", "rejected": "no"},
        {"pair_id": "empty", "prompt": "p ", "chosen": " \t\n", "rejected": "no"},
    ]
    fine = [
        {
            "pair_id": "rtl",
            "prompt": "p ",
            "chosen": "\u05d0\u202e\u05d1",
            "rejected": "x",
        },
        {"pair_id": "nul", "prompt": "p\0", "chosen": "a\0b", "rejected": "a\x1b[2Jb"},
    ]
    zero = {"pair_id": "zero", "prompt": "Q ", "chosen": "yes", "rejected": "no"}
    fine = [row | {"pair_id": f"fine {i}"} for i, row in enumerate(fine)]
    usable = [*ROWS[:3], *fine, *ROWS[3:]]
    good = sketched(build_run(tmp_path / "good", usable))
    rows = [*usable[:2], odd[0], *usable[2:5], POISONED, zero, *usable[5:], *odd[1:]]
    recipe = build_run(tmp_path / "bad", rows, poison=True, shard_rows=len(rows))
    poisoned = sketched(recipe)
    assert good.keys() | {"bad", "zero"} == poisoned.keys()
    margin, square, status, sketch = poisoned.pop("bad")
    assert np.isnan(margin) and np.isnan(square) and status == "not_finite"
    assert (sketch == 0).all()
    assert poisoned.pop("zero")[2] == "ok"
    set_to_zero(recipe, "zero")
    for pair_id, (margin, _, status, _) in poisoned.items():
        assert status == "ok"
        assert margin == pytest.approx(good[pair_id][0], rel=1e-5, abs=1e-6)
    run = Folder(recipe.run)
    train = SketchSet(run, "train")
    moments = sums.moments(train, shards(recipe))
    assert moments.num_labels == len(usable) and moments.squares.isfinite().all()
    assert np.isfinite(moments.hessian_trace)
    summed = sums.query_sums(train, shards(recipe), 2, "bradley_terry")
    assert summed.counts.sum() == len(usable) and summed.vectors.isfinite().all()
    kinds: list[Curvature] = ["datainf", "gauss_newton", "empirical_fisher"]
    for kind in kinds:
        products = sums.curvature_products(
            train, shards(recipe), kind, summed.vectors, [0.1]
        )
        assert products.isfinite().all()
    influence = InfluenceFolder.of(run)
    tables = score_table.score_shards(train, shards(recipe), columns())
    for shard, table in zip(shards(recipe), tables, strict=True):
        influence.partials.write_table(f"{shard.name}.parquet", table)
    files = [f"{name}.parquet" for name in names(recipe)]
    assert influence.assemble(files, ["x"])[0] == len(usable) + 2
    table = influence.table.to_pylist()
    rows_by_id = {row["pair_id"]: row for row in table}
    bad, zero = rows_by_id["bad"], rows_by_id["zero"]
    assert {bad[n] for n in ("margin", "loss", "influence_x", "rank_x")} == {None}
    assert (bad["status"], zero["status"]) == ("not_finite", "zero_gradient")
    assert zero["influence_x"] == 0
    ranks = sorted(row["rank_x"] for row in table if row["pair_id"] != "bad")
    assert ranks == list(range(1, len(usable) + 2))


def test_a_pair_that_is_not_finite_changes_no_bit_of_the_others(tmp_path):
    rows = [*ROWS[:3], POISONED, *ROWS[3:]]
    good = sketched(build_run(tmp_path / "good", rows))
    poisoned = sketched(build_run(tmp_path / "bad", rows, poison=True))
    assert good.pop("bad")[2] == "ok" and poisoned.pop("bad")[2] == "not_finite"
    for pair_id, (margin, square, status, sketch) in poisoned.items():
        assert (margin, square, status) == good[pair_id][:3]
        assert torch.equal(sketch, good[pair_id][3])
