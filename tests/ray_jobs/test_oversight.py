"""Labeling-strategy oversight, small, on a real Ray and a real tiny Llama."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import cosine

from inflib.config.loading import with_fields
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder
from ray_jobs.oversight import oversee
from ray_jobs.shared.session import run_stages
from tests.support.audits import copied, shown
from tests.support.finished_runs import EXPERT, LABELER, OBJECTIVES, simulation


def labels_that_count(recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of the labeler's influence.parquet with a finite, non-zero gradient."""
    rows = pq.read_table(f"{recipe.run}/labelers/0/influence/influence.parquet")
    norms = rows["gradient_norm"].to_numpy()
    return rows.filter(np.isfinite(norms) & (norms > 0)).to_pylist()


def first_is_better(weights: list[float], row: dict[str, Any]) -> bool:
    """Whether these weights prefer the first response of a label, ties included."""
    sides = ("chosen", "rejected") if row["first_chosen"] else ("rejected", "chosen")
    first, second = ([row[f"{name}_{side}"] for name in OBJECTIVES] for side in sides)
    return np.dot(weights, np.subtract(first, second)) >= 0


def agreement(weights: list[float], rows: list[dict[str, Any]]) -> float:
    """Share of the labels where these weights and the expert's choose alike."""
    same = [first_is_better(weights, r) == first_is_better(EXPERT, r) for r in rows]
    return sum(same) / len(rows)


def test_metrics_of_every_method_are_those_of_its_weights(overseen):
    metrics = (Folder(overseen.run) / "oversight").read_json("metrics.json")
    assert list(metrics) == [
        "influence",
        "least_squares",
        "mahalanobis",
        "knn",
        "random",
        "upper_bound",
    ]
    rows = labels_that_count(overseen)
    disagrees = [row["disagrees"] for row in rows]
    assert 0 < sum(disagrees) < len(rows)
    for values in metrics.values():
        (labeler,) = values["labelers"]
        assert values["label_accuracy_before"] == 1 - sum(disagrees) / len(rows)
        assert values["label_accuracy_after"] == agreement(labeler["weights"], rows)
        assert values["cosine_before"] == pytest.approx(1 - cosine(LABELER, EXPERT))
        after = 1 - cosine(labeler["weights"], EXPERT)
        assert values["cosine_after"] == pytest.approx(after)
        assert "rm_accuracy_after" not in values


def test_the_truth_gives_better_weights_than_the_labelers_own(overseen):
    metrics = (Folder(overseen.run) / "oversight").read_json("metrics.json")
    best = metrics["upper_bound"]
    assert best["label_accuracy_after"] > best["label_accuracy_before"] + 0.05
    assert best["cosine_after"] > 0.85


def test_ablations_cover_sizes_shares_and_updates(overseen):
    folder = Folder(overseen.run) / "oversight"
    rows = folder.read_json("ablations.json")
    values = [(row["field"], row["value"]) for row in rows]
    sizes = [value for field, value in values if field == "query labels"]
    assert sizes[:3] == [5, 5, 5] and len(sizes) == 4
    assert ("share at either end", 0.25) in values
    updates = [row for row in rows if row["field"] == "updates"]
    assert [row["value"] for row in updates] == [0, 1]
    trained = Folder(overseen.run) / "labelers" / "0" / "reward_model"
    test_set = trained.read_json("metrics.json")["queries"]["test"]
    assert updates[0]["rm_accuracy"] == test_set["accuracy"]
    assert (folder / "figures").names() == {
        "query_size.png",
        "query_size_least_squares.png",
        "extremes.png",
        "updates.png",
    }


def test_the_tables_of_the_docs_hold_the_metrics(overseen):
    metrics = (Folder(overseen.run) / "oversight").read_json("metrics.json")
    rows = {row[0]: row for row in shown(overseen.run, "--oversight")}
    for method, values in metrics.items():
        after = rows[method.replace("_", " ")][2].split(" ")[0]
        assert after == f"{values['label_accuracy_after']:.3f}"
    lines = (Folder(overseen.run) / "simulation").read_bytes("expert.jsonl")
    count = str(len(lines.splitlines()))
    assert rows["query labels"][1:3] == [count, "1"]  # the last size: all of them


def guidance_rows(recipe: Recipe, name: str) -> list[dict[str, str]]:
    """Rows of a CSV file of the labeler's guidance."""
    folder = Folder(recipe.run) / "labelers" / "0" / "oversight" / "guidance"
    return list(csv.DictReader(io.StringIO(folder.read_bytes(name).decode())))


def test_the_labeler_gets_a_page_and_rows(overseen):
    rows = guidance_rows(overseen, "labelers.csv")
    assert [row["objective"] for row in rows] == OBJECTIVES
    weights = [float(row["labeler_weight"]) for row in rows]
    assert 1 - cosine(weights, LABELER) > 0.9
    decisions = guidance_rows(overseen, "review.csv")
    harmful = [float(row["influence"]) for row in decisions]
    assert len(harmful) == 2 and harmful[0] >= harmful[1] > 0
    folder = Path(overseen.run) / "labelers" / "0" / "oversight" / "guidance"
    (page,) = (folder / "labelers").iterdir()
    text = page.read_text()
    assert page.name == "0000-labeler-0.html" and "Labeler labeler-0" in text
    assert all(row["pair_id"] in text for row in decisions)


def test_a_finished_simulation_is_not_run_again(overseen, capsys):
    folder = Folder(overseen.run) / "oversight"
    before = folder.read_json("metrics.json")
    run_stages(overseen, [oversee])
    printed = capsys.readouterr().out
    assert "train: complete" in printed and "is trained" not in printed
    assert folder.read_json("metrics.json") == before


def test_a_run_without_the_objectives_scores_is_refused(audited, tmp_path):
    folders = ("pairs", "reward_model", "sketches", "influence")
    recipe = copied(audited, tmp_path, *folders)
    with pytest.raises(ValueError, match="no section oversight"):
        run_stages(recipe, [oversee])
    fields = {"oversight": {"objectives": ["correctness"]}}
    with pytest.raises(ValueError, match="'correctness_chosen'"):
        run_stages(with_fields(recipe, fields, "test"), [oversee])


@pytest.mark.slow
def test_models_are_retrained_and_the_second_update_starts_from_the_first(
    ray_session, llama_folder, tmp_path
):
    recipe = simulation(tmp_path / "run", llama_folder, rounds=2, retrain=["influence"])
    run_stages(recipe, [oversee])
    folder = Folder(recipe.run)
    metrics = (folder / "oversight").read_json("metrics.json")
    rows = (folder / "oversight").read_json("ablations.json")
    updates = [row for row in rows if row["field"] == "updates"]
    assert [row["value"] for row in updates] == [0, 1, 2]
    influence = metrics["influence"]
    assert updates[0]["rm_accuracy"] == influence["rm_accuracy_before"]
    assert updates[1]["rm_accuracy"] == influence["rm_accuracy_after"]
    assert updates[1]["label_accuracy"] == influence["label_accuracy_after"]
    assert {"label_accuracy", "cosine", "rm_accuracy"} <= set(updates[2])
    assert "rm_accuracy_after" not in metrics["knn"]
    runs = folder / "labelers"
    assert (runs / "0-update-1" / "influence").exists("done.json")
    assert (runs / "0-update-2" / "reward_model").exists("done.json")
    # There is no third update.
    assert not (runs / "0-update-2" / "influence").exists("done.json")
    # The labels of the first update are those of its weights.
    weights = np.array(influence["labelers"][0]["weights"])
    lines = (folder / "simulation").read_bytes("labeler-0-update-1.jsonl").decode()
    for line in lines.splitlines():
        row = json.loads(line)
        differences = [
            row[f"{name}_chosen"] - row[f"{name}_rejected"] for name in OBJECTIVES
        ]
        assert weights @ np.array(differences) >= 0
