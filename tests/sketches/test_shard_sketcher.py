"""Sketching a small run in this process: batches, units, norms, required margins."""

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
from inflib.model.label_ids import labelled_ids
from inflib.model.preference_trainer import training_rows
from inflib.scores import score_table, sums
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.binding import bind_sketches
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
    by_unit = sketched(build_run(tmp_path / "by_unit", ROWS, token_budget=1))
    together = sketched(build_run(tmp_path / "together", ROWS, token_budget=100_000))
    assert by_unit.keys() == together.keys() == {row["pair_id"] for row in ROWS}
    for pair_id, (margin, square, status, sketch) in by_unit.items():
        assert together[pair_id][0] == pytest.approx(margin, rel=1e-5, abs=1e-6)
        assert together[pair_id][1] == pytest.approx(square, rel=1e-5)
        assert together[pair_id][2] == status == "ok"
        largest = float(sketch.abs().max())
        torch.testing.assert_close(
            together[pair_id][3], sketch, rtol=0, atol=1e-3 * largest
        )


def test_two_threads_change_no_bit(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    sketched(recipe)
    expected = payloads(recipe)
    shutil.rmtree(Path(recipe.run) / "sketches" / "train")
    sketcher = ShardSketcher(recipe)
    with ThreadPoolExecutor(2) as threads:
        receipts = list(threads.map(partial(sketcher, "train"), names(recipe)))
    assert payloads(recipe) == expected
    assert [receipt.shard for receipt in receipts] == names(recipe)


def test_the_first_worker_decides_the_budget_for_all(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    first = ShardSketcher(recipe)("train", names(recipe)[0])
    path = Path(recipe.run) / "sketches" / "token_budget-cpu.json"
    assert first.token_budget == json.loads(path.read_text()) == CPU_BUDGET
    path.write_text("64")
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
    by_comparison = sketched(build_run(tmp_path / "c", rows, unit="comparison"))
    recipe = build_run(tmp_path / "r", rows)  # 4 responses make 12 comparisons
    by_response = sketched(recipe)
    manifest = (Folder(recipe.run) / "sketches").read_json("manifest.json")
    assert manifest["units"] == {"train": "response", "q": "response"}
    for pair_id, (margin, square, status, sketch) in by_comparison.items():
        assert by_response[pair_id][0] == pytest.approx(margin, rel=1e-4, abs=1e-6)
        assert by_response[pair_id][1] == pytest.approx(square, rel=1e-4)
        assert by_response[pair_id][2] == status
        largest = float(sketch.abs().max())
        torch.testing.assert_close(
            by_response[pair_id][3], sketch, rtol=0, atol=2e-3 * largest
        )


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
    required = {row["pair_id"]: row["margin"] for row in rows}
    plan = shards(recipe)
    tables = score_table.score_shards(train, plan, columns())
    for shard, table in zip(plan, tables, strict=True):
        squares = train.labels(shard).sq_norms.sum(1)
        for label, norm in zip(table.to_pylist(), squares.sqrt().tolist(), strict=True):
            excess = label["margin"] - required[label["pair_id"]]
            flipped_excess = -label["margin"] - required[label["pair_id"]]
            weight = 1 / (1 + np.exp(excess))
            flipped_weight = 1 / (1 + np.exp(flipped_excess))
            assert label["loss"] == pytest.approx(np.log1p(np.exp(-excess)))
            assert label["gradient_norm"] == pytest.approx(weight * norm)
            ratio = label["flip_effect_x"] / label["influence_x"]
            assert ratio == pytest.approx(-1 - flipped_weight / weight)


def test_trl_gets_the_margin_column(tmp_path):
    rows = [row | {"margin": 0.3 * i} for i, row in enumerate(ROWS)]
    recipe = build_run(tmp_path, rows, margin_column="margin")
    train = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    margins = training_rows(labelled_ids(train))["margin"]
    assert sorted(margins) == [row["margin"] for row in rows]
    (tmp_path / "plain").mkdir()
    plain = build_run(tmp_path / "plain", ROWS)
    table = labelled_ids(PairsFolder(Folder(plain.run) / "pairs" / "train"))
    names = ["chosen_ids", "rejected_ids", "prompt", "place"]
    assert training_rows(table).column_names == names


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
    tables = read_file("train", path, "train", recipe)
    problems = {
        row["file_row"]: row["problem"] for row in pa.concat_tables(tables).to_pylist()
    }
    assert problems.pop(1) is None
    assert set(problems) == {2, 3, 4}
    assert set(problems.values()) == {"no number in prepare.margin_column 'margin'"}


def test_sums_of_single_shards_add_up_to_the_sums_of_all(tmp_path):
    recipe = build_run(tmp_path, ROWS)
    sketched(recipe)
    train, plan = SketchSet(Folder(recipe.run), "train"), shards(recipe)
    whole = sums.query_sums(train, plan, 3, "margin")
    by_shard = [sums.query_sums(train, [shard], 3, "margin") for shard in plan]
    close(reduce(add, by_shard).vectors, whole.vectors)
    assert whole.counts.sum() == len(ROWS)
    kinds: list[Curvature] = ["datainf", "gauss_newton", "empirical_fisher"]
    for kind in kinds:
        products = partial(
            sums.curvature_products, kind=kind, vectors=whole.vectors, lambdas=[0.1]
        )
        product_sums = [products(train, [shard]) for shard in plan]
        close(reduce(add, product_sums), products(train, plan))


def test_a_run_goes_on_with_other_resources(tmp_path):
    recipe = build_run(tmp_path, ROWS, store_dtype="float32")
    first = ShardSketcher(recipe)("train", names(recipe)[0])
    changes = {"cpus_per_worker": 2, "token_budget": 64}
    section = recipe.sketch.model_copy(update=changes)
    other = recipe.model_copy(update={"sketch": section})
    bind_sketches(other)
    assert ShardSketcher(other)("train", names(other)[1]).token_budget == 64
    assert first.token_budget == CPU_BUDGET
