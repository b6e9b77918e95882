"""Labeling-strategy oversight, small, on a real Ray and a real tiny Llama."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inflib.config.loading import with_fields
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder
from ray_jobs.oversight import oversee
from ray_jobs.shared.session import run_stages
from tests.support.audits import shown, tiny_recipe

NAMES = ["correctness", "coherence", "complexity", "verbosity"]


def rated(low: float, high: float) -> dict[str, Any]:
    return {"path": "generated:attributes?pairs=80&seed=0", "part": [low, high]}


@pytest.fixture(scope="module")
def overseen(llama_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = tiny_recipe(
        tmp_path_factory.mktemp("oversight") / "run",
        "unused",
        llama_folder,
        prepare__train=rated(0, 0.5),
        prepare__queries={"expert": rated(0.5, 0.75), "test": rated(0.75, 1)},
        prepare__shard_rows=25,
        train__epochs=1,
        sketch__sketch_size=2048,
        score__curvatures=["gauss_newton"],
        score__damping=[1e-1],
        report__truth=None,
        bias__neighbours=[1, 3],
        oversight={
            "objectives": NAMES,
            "resamples": 20,
            "examples": 2,
            "simulate": {
                "expert": [1.04, 0.46, 0.47, -0.33],
                "labelers": [[1.1, 1.0, 3.1, 3.0]],
                "retrain": [],  # takes a training: see the slow test
                "shares": [0.25],
                "sizes": [5],
                "repeats": 3,
            },
        },
    )
    run_stages(recipe, [oversee])
    return recipe


def test_every_method_has_its_figures_and_the_truth_is_the_best(overseen):
    found = (Folder(overseen.run) / "oversight").read_json("metrics.json")
    assert list(found) == [
        "influence",
        "least_squares",
        "mahalanobis",
        "knn",
        "random",
        "upper_bound",
    ]
    for row in found.values():
        assert 0.3 < row["label_accuracy_before"] < 1
        assert 0 <= row["label_accuracy_after"] <= 1
        assert row["cosine_before"] == pytest.approx(0.356, abs=0.001)
        assert "rm_accuracy_after" not in row
        assert len(row["labelers"]) == 1
    best = found["upper_bound"]
    assert best["label_accuracy_after"] > best["label_accuracy_before"] + 0.05
    assert best["cosine_after"] > 0.85


def test_ablations_cover_sizes_shares_and_updates(overseen):
    folder = Folder(overseen.run) / "oversight"
    rows = folder.read_json("ablations.json")
    found = [(row["field"], row["value"]) for row in rows]
    sizes = [value for field, value in found if field == "query labels"]
    assert sizes[:3] == [5, 5, 5] and len(sizes) == 4
    assert ("share at either end", 0.25) in found
    updates = [row for row in rows if row["field"] == "updates"]
    assert [row["value"] for row in updates] == [0, 1]
    assert 0 < updates[0]["rm_accuracy"] < 1
    pictures = (folder / "figures").names()
    assert pictures == {
        "query_size.png",
        "query_size_least_squares.png",
        "extremes.png",
        "updates.png",
    }


def test_the_tables_of_the_docs_hold_the_figures(overseen):
    found = (Folder(overseen.run) / "oversight").read_json("metrics.json")
    rows = {row[0]: row for row in shown(overseen.run, "--oversight")}
    for method, figures in found.items():
        after = rows[method.replace("_", " ")][2].split(" ")[0]
        assert after == f"{figures['label_accuracy_after']:.3f}"
    made = (Folder(overseen.run) / "simulation").read_bytes("expert.jsonl")
    every = str(len(made.splitlines()))
    assert rows["query labels"][1:3] == [every, "1"]  # the last size: all of them


def rows_of(recipe: Recipe, name: str) -> list[dict[str, str]]:
    folder = Folder(recipe.run) / "labelers" / "0" / "oversight" / "guidance"
    return list(csv.DictReader(io.StringIO(folder.read_bytes(name).decode())))


def test_the_labeler_gets_a_page_and_rows(overseen):
    weights = rows_of(overseen, "labelers.csv")
    assert [row["objective"] for row in weights] == NAMES
    own = np.array([float(row["labeler_weight"]) for row in weights])
    truth = np.array([1.1, 1.0, 3.1, 3.0])
    assert own @ truth / np.linalg.norm(truth) > 0.9
    harmful = [float(row["influence"]) for row in rows_of(overseen, "decisions.csv")]
    assert len(harmful) == 2 and harmful[0] >= harmful[1] > 0
    folder = Path(overseen.run) / "labelers" / "0" / "oversight" / "guidance"
    (page,) = (folder / "labelers").iterdir()
    text = page.read_text()
    assert page.name == "0000-labeler-0.html" and "Labeler labeler-0" in text
    assert all(row["pair_id"] in text for row in rows_of(overseen, "decisions.csv"))


def test_a_finished_experiment_is_not_run_again(overseen, capsys):
    folder = Folder(overseen.run) / "oversight"
    before = folder.read_json("metrics.json")
    run_stages(overseen, [oversee])
    said = capsys.readouterr().out
    assert "train: complete" in said and "is trained" not in said
    assert folder.read_json("metrics.json") == before


def test_a_run_without_the_scores_is_refused(audited, tmp_path):
    own = with_fields(
        audited,
        {"oversight": {"objectives": ["correctness"]}},
        "test",
    )
    with pytest.raises(ValueError, match="'correctness_chosen'"):
        run_stages(own, [oversee])
    with pytest.raises(ValueError, match="no section oversight"):
        run_stages(audited, [oversee])


@pytest.mark.slow
def test_models_are_retrained_and_the_second_update_starts_from_the_first(overseen):
    changes = {"rounds": 2, "retrain": ["influence"]}
    fields = {f"oversight.simulate.{name}": value for name, value in changes.items()}
    run_stages(with_fields(overseen, fields, "test"), [oversee])
    folder = Folder(overseen.run)
    metrics = (folder / "oversight").read_json("metrics.json")
    rows = (folder / "oversight").read_json("ablations.json")
    updates = [row for row in rows if row["field"] == "updates"]
    assert [row["value"] for row in updates] == [0, 1, 2]
    found = metrics["influence"]
    assert updates[0]["rm_accuracy"] == found["rm_accuracy_before"]
    assert updates[1]["rm_accuracy"] == found["rm_accuracy_after"]
    assert updates[1]["label_accuracy"] == found["label_accuracy_after"]
    assert {"label_accuracy", "cosine", "rm_accuracy"} <= set(updates[2])
    assert "rm_accuracy_after" not in metrics["knn"]
    runs = folder / "labelers"
    assert (runs / "0-update-1" / "influence").exists("done.json")
    assert (runs / "0-update-2" / "reward_model").exists("done.json")
    assert not (runs / "0-update-2" / "influence").exists("done.json")  # not asked for
    # The labels of the first update are those of its weights.
    weights = np.array(found["labelers"][0]["weights"])
    made = (folder / "simulation").read_bytes("labeler-0-update-1.jsonl").decode()
    for line in made.splitlines():
        row = json.loads(line)
        apart = [row[f"{name}_chosen"] - row[f"{name}_rejected"] for name in NAMES]
        assert weights @ np.array(apart) >= 0
