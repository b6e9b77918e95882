"""Sketching and scoring of a small run, in this process: batches, groups, bad pairs."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from operator import add
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from inflib.config.score import Curvature
from inflib.data.pairs_folder import PairsFolder
from inflib.data.rows import read_file
from inflib.model.training import labelled_ids
from inflib.scores import score_table, sums
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.sketches.unit_sketcher import CPU_BUDGET
from inflib.storage.folder import Folder
from tests.support.files import write_jsonl
from tests.support.prepared_run import (
    ROWS,
    build_run,
    close,
    columns,
    names,
    payloads,
    shards,
    sketched,
)


def test_token_budget_changes_rounding_only(tmp_path):
    one = sketched(build_run(tmp_path / "one", ROWS, token_budget=1))
    many = sketched(build_run(tmp_path / "many", ROWS, token_budget=100_000))
    assert one.keys() == many.keys() == {row["pair_id"] for row in ROWS}
    for pair_id, (margin, square, status, sketch) in one.items():
        assert many[pair_id][0] == pytest.approx(margin, rel=1e-5, abs=1e-6)
        assert many[pair_id][1] == pytest.approx(square, rel=1e-5)
        assert many[pair_id][2] == status == "ok"
        largest = float(sketch.abs().max())
        torch.testing.assert_close(
            many[pair_id][3], sketch, rtol=0, atol=1e-3 * largest
        )


def test_two_threads_change_no_bit(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    sketched(recipe)
    expected = payloads(recipe)
    shutil.rmtree(Path(recipe.run) / "sketches" / "train")
    sketcher = ShardSketcher(recipe)
    with ThreadPoolExecutor(2) as threads:
        receipts = list(threads.map(lambda s: sketcher("train", s), names(recipe)))
    assert payloads(recipe) == expected
    assert [receipt.shard for receipt in receipts] == names(recipe)


def test_the_first_worker_decides_the_budget_for_all(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    first = ShardSketcher(recipe)("train", names(recipe)[0])
    place = Path(recipe.run) / "sketches" / "token_budget.json"
    assert first.token_budget == json.loads(place.read_text()) == CPU_BUDGET
    place.write_text("64")
    assert ShardSketcher(recipe)("train", names(recipe)[1]).token_budget == 64


@pytest.mark.parametrize(("family", "unshared"), [("llama", 0), ("bert", 5)])
def test_receipts_count_prompts_that_were_not_shared(tmp_path, family, unshared):
    recipe = build_run(tmp_path, ROWS, family=family)
    receipt = ShardSketcher(recipe)("train", names(recipe)[0])
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    table = folder.comparisons(folder.plan()[0])
    prefix, a, b = (
        len(table[name].combine_chunks().flatten()) for name in ("prefix", "a", "b")
    )
    assert receipt.num_unshared == unshared
    assert receipt.num_tokens == prefix + a + b + (prefix if unshared else 0)


def test_responses_give_what_comparisons_give(tmp_path):
    rows = [row | {"prompt": "One question? "} for row in ROWS]
    by_pair = sketched(build_run(tmp_path / "c", rows, unit="comparison"))
    recipe = build_run(tmp_path / "r", rows)  # 4 responses make 12 comparisons
    found = sketched(recipe)
    manifest = (Folder(recipe.run) / "sketches").read_json("manifest.json")
    assert manifest["units"] == {"train": "response", "q": "response"}
    for pair_id, (margin, square, status, sketch) in by_pair.items():
        assert found[pair_id][0] == pytest.approx(margin, rel=1e-4, abs=1e-6)
        assert found[pair_id][1] == pytest.approx(square, rel=1e-4)
        assert found[pair_id][2] == status
        scale = float(sketch.abs().max())
        torch.testing.assert_close(found[pair_id][3], sketch, rtol=0, atol=2e-3 * scale)


def test_the_stored_norm_is_of_the_gradient_not_of_its_sketch(tmp_path):
    rotation = build_run(
        tmp_path / "rotation", ROWS, sketch_size=16384, store_dtype="float32"
    )
    exact = sketched(rotation)
    for _, square, _, sketch in exact.values():
        assert float(sketch.double().square().sum()) == pytest.approx(square, rel=1e-5)
    lossy = sketched(build_run(tmp_path / "lossy", ROWS, sketch_size=64))
    for pair_id, (_, square, _, _) in lossy.items():
        assert square == pytest.approx(exact[pair_id][1], rel=1e-5)


def test_a_margin_column_enters_loss_weights_and_flips(tmp_path):
    rows = [row | {"margin": 0.3 * i} for i, row in enumerate(ROWS)]
    recipe = build_run(tmp_path, rows, margin_column="margin")
    sketched(recipe)
    train = SketchSet(Folder(recipe.run), "train")
    required = {r["pair_id"]: r["margin"] for r in rows}
    plan = shards(recipe)
    tables = score_table.score_shards(train, plan, columns())
    for shard, table in zip(plan, tables, strict=True):
        squares = train.labels(shard).sq_norms.sum(1)
        for label, norm in zip(table.to_pylist(), squares.sqrt().tolist(), strict=True):
            excess = label["margin"] - required[label["pair_id"]]
            flipped = -label["margin"] - required[label["pair_id"]]
            weight, other = 1 / (1 + np.exp(excess)), 1 / (1 + np.exp(flipped))
            assert label["loss"] == pytest.approx(np.log1p(np.exp(-excess)))
            assert label["gradient_norm"] == pytest.approx(weight * norm)
            ratio = label["flip_effect_x"] / label["influence_x"]
            assert ratio == pytest.approx(-1 - other / weight)


def test_trl_gets_the_margin_column(tmp_path):
    rows = [row | {"margin": 0.3 * i} for i, row in enumerate(ROWS)]
    recipe = build_run(tmp_path, rows, margin_column="margin")
    train = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    margins = labelled_ids(train, with_margin=True)["margin"]
    assert sorted(margins) == [row["margin"] for row in rows]
    assert "margin" not in labelled_ids(train, with_margin=False).column_names


def test_a_row_without_the_margin_is_reported(tmp_path):
    margins: list[dict] = [
        {"margin": 1},
        {"margin": "big"},
        {},
        {"margin": float("nan")},
    ]
    rows = [{**row, **margin} for row, margin in zip(ROWS, margins, strict=False)]
    path = str(write_jsonl(tmp_path / "rows.jsonl", rows))
    recipe = build_run(tmp_path, rows[:1], margin_column="margin")
    found = pa.concat_tables(read_file("train", path, "train", recipe)).to_pylist()
    problems = {row["file_row"]: row["problem"] for row in found}
    assert problems.pop(1) is None
    assert set(problems) == {2, 3, 4}
    assert set(problems.values()) == {"no number in prepare.margin_column 'margin'"}


def test_shard_groups_change_rounding_only(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    sketched(recipe)
    train, plan = SketchSet(Folder(recipe.run), "train"), shards(recipe)
    whole = sums.query_sums(train, plan, 3, "margin")
    parts = [sums.query_sums(train, [shard], 3, "margin") for shard in plan]
    close(reduce(add, parts).vectors, whole.vectors)
    assert whole.counts.sum() == len(ROWS)
    kinds: list[Curvature] = ["datainf", "gauss_newton", "empirical_fisher"]
    for kind in kinds:
        products = partial(
            sums.curvature_products, kind=kind, vectors=whole.vectors, lambdas=[0.1]
        )
        part_sums = [products(train, [shard]) for shard in plan]
        close(reduce(add, part_sums), products(train, plan))
