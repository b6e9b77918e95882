"""The bias-detection study, small, on a real Ray and a real tiny Llama."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from inflib.config.recipe import Recipe
from inflib.detection import detector_table, detectors
from inflib.scores.influence_folder import InfluenceFolder
from inflib.sketches import activations
from inflib.storage.folder import Folder
from ray_jobs.detect_bias import detect, inputs_of, judge_files
from ray_jobs.studies.activation_tasks import layer_detectors
from ray_jobs.studies.bias_ablations import _changed, field_ablation
from tests.support.audits import copied, shown, tiny_recipe
from tests.support.files import write_jsonl


def results(recipe: Recipe, name: str) -> Any:
    """A JSON file of bias/."""
    return json.loads((Path(recipe.run) / "bias" / name).read_text())


def test_every_detector_has_scikit_learns_auc_for_every_query_set(studied):
    metrics = results(studied, "metrics.json")
    assert list(metrics) == ["less", "full"]
    labels, _ = InfluenceFolder.of(Folder(studied.run)).counted()
    wrong = detector_table.truth_of(studied, labels)
    for query, rows in metrics.items():
        scores = detector_table.detector_scores(studied, labels, query)
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
    signs = labels["sign"].to_numpy()
    ids = labels["comparison_id"].to_pylist()
    true_signs = np.where(wrong, -signs, signs)
    right = dict(zip(ids, np.where(true_signs > 0, "a", "b").tolist(), strict=True))
    believed = dict(zip(ids, np.where(signs > 0, "a", "b").tolist(), strict=True))
    believed[ids[0]] = "tie"
    points = detector_table.judge_points(
        {"wise": right, "naive": believed}, labels, wrong
    )
    assert points["wise"]["true_positive_rate"] == 1
    assert points["wise"]["false_positive_rate"] == 0
    assert points["naive"]["true_positive_rate"] == 0
    assert points["naive"]["labels"] == len(labels) - ids.count(ids[0])


def test_ablations_vary_what_they_say(studied):
    by_size = results(studied, "ablations.json")["query_size"]
    sizes = [row["size"] for row in by_size if row["query"] == "full"]
    assert sizes == [5, 5, 10, 10, 40]
    metrics = results(studied, "metrics.json")
    for query in ("less", "full"):  # all of the query set: what the audit says
        last = [row for row in by_size if row["query"] == query][-1]
        whole_set = metrics[query]["influence_gauss_newton"]
        assert last["auc"] == pytest.approx(whole_set["auc"], abs=0.02)


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
    scores = detector_table.detector_scores(audited, labels, "expert")[
        "influence_identity"
    ]
    auc = roc_auc_score(detector_table.truth_of(recipe, labels), scores)
    aucs = [
        row["auc"]
        for row in rows
        if (row["query"], row["detector"]) == ("expert", "influence_identity")
    ]
    assert aucs == [pytest.approx(auc, abs=0.1)]


def test_figures_and_examples_are_written_and_texts_escaped(studied):
    folder = Path(studied.run) / "bias"
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert {"roc_less.png", "pr_full.png", "query_sets.png", "query_size.png"} <= drawn
    page = (folder / "examples.html").read_text()
    # Two most harmful and two most helpful ones, for two query sets
    assert page.count('<table class="label">') == 8
    assert 'class="prompt"' in page and "Most helpful, query set full" in page
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(map(len, results(studied, "metrics.json").values()))


def test_the_tables_of_the_docs_hold_the_metrics(studied):
    metrics, rows = results(studied, "metrics.json"), shown(studied.run, "--bias")
    for row in rows[1:]:
        less, full = (metrics[query][row[0].replace(" ", "_")] for query in metrics)
        assert row[1].startswith(f"{less['auc']:.3f} ({less['auc_low']:.3f} to ")
        assert row[-2:] == [f"{full['ap']:.3f}", f"{full['tnr80']:.3f}"]
    assert len(rows) == 1 + len(metrics["full"])
    by_size = results(studied, "ablations.json")["query_size"]
    aucs = [r["auc"] for r in by_size if (r["query"], r["size"]) == ("full", 5)]
    spread = f"{min(aucs):.3f} to {max(aucs):.3f}"
    row = ["query labels", "5", "full", "", f"{np.mean(aucs):.3f}", spread]
    assert row in shown(studied.run, "--ablations")


def test_a_second_run_does_nothing(studied, capsys):
    before = (Path(studied.run) / "bias" / "metrics.json").stat().st_mtime_ns
    detect(studied)
    assert "complete" in capsys.readouterr().out
    assert (Path(studied.run) / "bias" / "metrics.json").stat().st_mtime_ns == before


def test_a_truth_column_that_is_missing_or_not_boolean_is_refused(studied):
    labels, _ = InfluenceFolder.of(Folder(studied.run)).counted()
    for name in ("nothing", "pair_id"):
        bias = studied.bias.model_copy(update={"truth": name})
        with pytest.raises(ValueError, match=f"bias.truth '{name}'"):
            detector_table.truth_of(studied.model_copy(update={"bias": bias}), labels)


def with_choices(tmp_path, *files):
    """A recipe whose judges' files these are."""
    recipe = tiny_recipe(tmp_path / "run", tmp_path, "m")
    bias = recipe.bias.model_copy(update={"choices": tuple(map(str, files))})
    return recipe.model_copy(update={"bias": bias})


def test_a_judges_new_answers_are_not_taken_for_the_old_ones(tmp_path):
    row = {"comparison_id": "c", "choice": "a"}
    file = write_jsonl(tmp_path / "gpt" / "choices.jsonl", [row])
    recipe = with_choices(tmp_path, file)
    before = inputs_of(recipe, "scores")
    assert inputs_of(recipe, "scores") == before
    write_jsonl(file, [row | {"choice": "b"}])
    assert inputs_of(recipe, "scores") != before


def test_judges_of_one_name_in_two_runs_are_two_judges(tmp_path):
    files = [
        write_jsonl(tmp_path / run / "gpt" / "choices.jsonl", [{}]) for run in "xy"
    ]
    names = judge_files(with_choices(tmp_path, *files))
    assert [*names.values()] == ["x/gpt", "y/gpt"]


def test_ablations_of_two_paths_have_two_runs(tmp_path):
    recipe = with_choices(tmp_path)
    field = "prepare.train.path"
    runs = {_changed(recipe, field, path).run for path in ("a/b", "a_b")}
    assert len(runs) == 2
