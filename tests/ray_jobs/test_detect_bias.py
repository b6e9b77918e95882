"""The bias-detection study, small, on a real Ray and a real tiny Llama."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from inflib.config.recipe import Recipe
from inflib.detection import activations, detector_table, detectors
from inflib.scores.influence_folder import InfluenceFolder
from inflib.storage.folder import Folder
from ray_jobs.detect_bias import STAGES, detect
from ray_jobs.shared.session import run_stages
from ray_jobs.studies.activation_tasks import layer_detectors
from ray_jobs.studies.bias_ablations import field_ablation
from tests.support.audits import copied, shown, tiny_recipe


@pytest.fixture(scope="module")
def studied(audited: Recipe, llama_folder: str, tmp_path_factory: Any) -> Recipe:
    """A study with the audit's reward model, which saves the time of a training."""
    source = "generated:flattery{}?pairs={}&seed={}"

    def flattery(pairs: int, seed: int, **more: Any) -> dict[str, Any]:
        ratings = source.format("_ratings", pairs, seed)
        return {"path": source.format("", pairs, seed), "ratings": ratings} | more

    planted = {"kind": "higher_rated_chosen", "share": 1.0, "max_difference": 3.5}
    recipe = tiny_recipe(
        tmp_path_factory.mktemp("bias") / "run",
        "unused",
        llama_folder,
        prepare__train=flattery(60, 0, plant=planted),
        prepare__queries={
            "less": flattery(40, 9, select="chosen_lower_rated"),
            "full": flattery(40, 9),
        },
        prepare__max_length=256,
        model__adapter=f"{audited.run}/reward_model",
        sketch__sketch_size=2048,
        prepare__shard_rows=25,
        score__self_probes=8,
        score__damping=[1e-2, 1e-1],
        report__truth="planted_flip",
        bias__sizes=[5, 10],
        bias__repeats=2,
        bias__resamples=50,
        bias__examples=2,
        bias__neighbours=[1, 3],
    )
    run_stages(recipe, STAGES)
    return recipe


def results(recipe: Recipe, name: str) -> Any:
    return json.loads((Path(recipe.run) / "bias" / name).read_text())


def test_every_detector_has_its_figures_for_every_query_set(studied):
    found = results(studied, "metrics.json")
    assert list(found) == ["less", "full"]
    labels, _ = InfluenceFolder.of(Folder(studied.run)).counted()
    wrong = detector_table.truth_of(studied, labels)
    assert 0 < wrong.sum() < len(wrong)
    for query, rows in found.items():
        scores = detector_table.detectors(studied, labels, query)
        extra = {
            "mahalanobis",
            "mahalanobis_best",
            "knn",
            "knn_best",
            detector_table.COMBINED,
        }
        assert set(rows) == set(scores) | extra
        assert {"influence_datainf", "self_influence_gauss_newton"} <= set(rows)
        for name, values in scores.items():
            auc = roc_auc_score(wrong, values)
            assert rows[name]["auc"] == pytest.approx(auc), name
            assert rows[name]["auc_low"] <= auc <= rows[name]["auc_high"]
    # what was planted favours the higher rated response, slightly: no label that is
    # wrong has a lower rated chosen response
    assert labels["rating_difference"].to_numpy()[wrong].min() > 0


def test_activations_are_those_of_a_plain_forward_pass(studied):
    rows = [row for row in layer_detectors(studied) if row["query"] == "full"]
    run, key = Folder(studied.run), activations.key(studied)
    assert [row["layer"] for row in rows] == [1, 2]
    trusted = detectors.features(*activations.read_layer(run, "full", key, 1))
    train = detectors.features(*activations.read_layer(run, "train", key, 1))
    fitted = detectors.Mahalanobis.fit(trusted)
    for place in (0, 7):
        expected = mahalanobis(train[place], fitted.mean, fitted.precision)
        assert rows[1]["scores"]["mahalanobis"][place] == pytest.approx(expected)


def test_judges_are_points_of_the_roc(studied):
    """One that sees through every planted label, and one that believes them all."""
    labels, _ = InfluenceFolder.of(Folder(studied.run)).counted()
    wrong = detector_table.truth_of(studied, labels)
    given = labels["sign"].to_numpy()
    names = labels["comparison_id"].to_pylist()
    right = {
        name: "a" if sign > 0 else "b"
        for name, sign in zip(names, np.where(wrong, -given, given), strict=True)
    }
    believed = dict(zip(names, np.where(given > 0, "a", "b").tolist(), strict=True)) | {
        names[0]: "tie"
    }
    found = detector_table.judge_points(
        {"wise": right, "naive": believed}, labels, wrong
    )
    assert found["wise"]["true_positive_rate"] == 1
    assert found["wise"]["false_positive_rate"] == 0
    assert found["naive"]["true_positive_rate"] == 0
    assert found["naive"]["labels"] == len(labels) - names.count(names[0])


def test_ablations_vary_what_they_say(studied):
    found = results(studied, "ablations.json")
    sizes = [row["size"] for row in found["query_size"] if row["query"] == "full"]
    assert sizes == [5, 5, 10, 10, 40]
    metrics = results(studied, "metrics.json")
    for query in ("less", "full"):  # all of the query set: what the audit says
        last = [row for row in found["query_size"] if row["query"] == query][-1]
        own = metrics[query]["influence_gauss_newton"]
        assert last["auc"] == pytest.approx(own["auc"], abs=0.02)


@pytest.mark.slow
def test_fields_are_ablated_in_runs_of_their_own(audited, tmp_path):
    recipe = copied(
        audited,
        tmp_path,
        "reward_model",
        bias={"truth": "wrong", "ablate": {"sketch.sketch_size": [512]}},
    )
    rows = field_ablation(recipe)
    fields = {(row["field"], row["value"]) for row in rows}
    assert fields == {("sketch.sketch_size", 512)}
    smaller = Path(recipe.run) / "ablations" / "sketch.sketch_size=512"
    assert not (smaller / "reward_model").exists()  # that of the run
    labels, _ = InfluenceFolder.of(Folder(audited.run)).counted()
    scores = detector_table.detectors(audited, labels, "expert")["influence_identity"]
    own = roc_auc_score(detector_table.truth_of(recipe, labels), scores)
    aucs = [
        row["auc"]
        for row in rows
        if (row["query"], row["detector"]) == ("expert", "influence_identity")
    ]
    assert aucs == [pytest.approx(own, abs=0.1)]


def test_figures_and_examples_are_written_and_texts_escaped(studied):
    folder = Path(studied.run) / "bias"
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert {"roc_less.png", "pr_full.png", "query_sets.png", "query_size.png"} <= drawn
    page = (folder / "examples.html").read_text()
    # Two most harmful and two most helpful ones, for two query sets
    assert page.count("<table class='label'>") == 8
    assert "class='prompt'" in page and "Most helpful, query set full" in page
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(map(len, results(studied, "metrics.json").values()))


def test_the_tables_of_the_docs_hold_the_figures(studied):
    metrics, rows = results(studied, "metrics.json"), shown(studied.run, "--bias")
    for row in rows[1:]:
        less, full = (metrics[query][row[0].replace(" ", "_")] for query in metrics)
        assert row[1].startswith(f"{less['auc']:.3f} ({less['auc_low']:.3f} to ")
        assert row[-2:] == [f"{full['ap']:.3f}", f"{full['tnr80']:.3f}"]
    assert len(rows) == 1 + len(metrics["full"])
    found = results(studied, "ablations.json")["query_size"]
    fives = [r["auc"] for r in found if (r["query"], r["size"]) == ("full", 5)]
    spread = f"{min(fives):.3f} to {max(fives):.3f}"
    row = ["query labels", "5", "full", "", f"{np.mean(fives):.3f}", spread]
    assert row in shown(studied.run, "--ablations")


def test_a_second_run_does_nothing(studied, capsys):
    before = (Path(studied.run) / "bias" / "metrics.json").stat().st_mtime_ns
    detect(studied)
    assert "complete" in capsys.readouterr().out
    assert (Path(studied.run) / "bias" / "metrics.json").stat().st_mtime_ns == before


def test_truth_must_be_there(studied):
    labels, _ = InfluenceFolder.of(Folder(studied.run)).counted()
    for name in ("nothing", "pair_id"):
        bias = studied.bias.model_copy(update={"truth": name})
        with pytest.raises(ValueError, match=f"bias.truth '{name}'"):
            detector_table.truth_of(studied.model_copy(update={"bias": bias}), labels)
    assert np.isfinite(labels["margin"].to_numpy()).all()
