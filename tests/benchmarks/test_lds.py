"""Which labels the retrainings of the lds benchmark leave out; what is predicted."""

import numpy as np
import pytest

from inflib.benchmarks.estimators import (
    CONTROLS,
    DATAINF,
    MEAN,
    SCORED,
    effects,
    effects_of_runs,
    predictions,
)
from inflib.benchmarks.lds_trials import (
    AS_MANY,
    AS_MANY_FLIPPED,
    FLIPPED,
    HALF,
    HARMFUL,
    LABELER,
    RANDOM,
    choices,
)
from inflib.data.label_edits import DROP, FLIP, Edit
from inflib.scores.inner_products import read_products
from inflib.storage.folder import Folder
from tests.support.known_store import TRAIN, build_store, column, score_config, scored


def test_choices_leave_out_halves_groups_and_the_most_harmful():
    harm = np.random.default_rng(0).normal(size=200)
    labelers = np.array(["a"] * 120 + ["b"] * 50 + [None] * 30, dtype=object)
    made = choices(harm, labelers, halves=5, groups=3, curves=True)
    kinds = [choice.kind for choice in made]
    kinds_dropped = (HALF, RANDOM, LABELER, HARMFUL, AS_MANY)
    assert [kinds.count(k) for k in kinds_dropped] == [5, 3, 3, 4, 4]
    assert kinds.count(FLIPPED) == kinds.count(AS_MANY_FLIPPED) == 4
    out = {(c.kind, c.name): np.flatnonzero(c.kept == 0) for c in made}
    assert {len(out[HALF, str(i)]) for i in range(5)} == {100}
    assert set(out[LABELER, "a"]) == set(range(120))
    tenths = [out[RANDOM, str(i)] for i in range(3)]
    assert len(set(np.concatenate(tenths))) == 60
    assert set(out[HARMFUL, "0.05"]) == set(np.argsort(-harm)[:10])
    assert len(out[AS_MANY, "0.05"]) == 10
    ids = np.array([f"p{i}" for i in range(200)])
    assert set(made[0].edits(ids)) == set(ids[out[HALF, "0"]])
    assert {edit.action for edit in made[0].edits(ids).values()} == {DROP}
    edits = {c.kind: c.edits(ids) for c in made if c.name == "0.05"}
    for dropped, turned in ((HARMFUL, FLIPPED), (AS_MANY, AS_MANY_FLIPPED)):
        assert edits[dropped].keys() == edits[turned].keys()
        assert set(edits[turned].values()) == {Edit.of(FLIP)}


def test_predictions_are_of_a_mean_over_the_labels_that_stay(tmp_path):
    products = read_products(build_store(tmp_path, TRAIN), "q", 1000)
    n = products.labels.n
    kept = np.ones((3, n))
    kept[1, : n // 2] = 0
    kept[2] = 2  # twice every weight is the same mean
    by_name = dict(effects(products, 0.1))
    predicted = predictions(products, by_name, kept, 0 * kept)
    assert {DATAINF, *CONTROLS} <= predicted.keys() >= by_name.keys()
    for name, values in by_name.items():
        np.testing.assert_allclose(predicted[name][[0, 2]], 0, atol=1e-12, err_msg=name)
        means = values[n // 2 :].mean(0) - values.mean(0)
        np.testing.assert_allclose(predicted[name][1], n * means, rtol=1e-7)


@pytest.mark.parametrize("damping", [1e-2, 1e-1])
def test_a_small_group_is_predicted_alike_by_sums_and_by_a_newton_step(
    tmp_path, damping
):
    products = read_products(build_store(tmp_path, TRAIN), "q", 1000)
    kept = np.ones((1, products.labels.n))
    kept[0, 0] = 1 - 1e-4
    found = dict(effects(products, 0.1))
    predicted = predictions(products, found, kept, 0 * kept)
    all_labels = predictions(products, found, np.ones_like(kept), 0 * kept)
    name = f"newton_step_{damping:g}"
    step = predicted[name] - all_labels[name]
    assert np.abs(step).max() > 0
    rank = np.corrcoef(step[0], predicted[f"gauss_newton_{damping:g}"][0])[0, 1]
    assert rank > 0.9


@pytest.mark.parametrize("action", [DROP, FLIP])
def test_edits_are_predicted_as_what_if_predicts_them(tmp_path, action):
    """By what-if's own sums of influence and flip effects, which know no ratios."""
    run = build_store(tmp_path, TRAIN)
    keep_on_the_way(run, 40.0)
    config = score_config("gauss_newton", tolerance=1e-9)
    rows, _ = scored(run, config)
    rows = [row for row in rows if row["status"] == "ok"]
    products = read_products(run, "q", 1)
    n = products.labels.n
    edited = np.zeros((1, n))
    edited[0, :5] = 1
    kept, flipped = 1 - edited * (action == DROP), edited * (action == FLIP)
    found = {SCORED: dict(effects(products, 0.1))[SCORED]}
    change = predictions(products, found, kept, flipped)[SCORED] @ products.slopes
    influence = column(rows, "influence_gauss_newton_q")
    flip_effect = column(rows, "flip_effect_gauss_newton_q")
    drop = -(influence[:5] - influence.mean()).sum() / (n - 5)
    expected = drop if action == DROP else flip_effect[:5].sum() / n
    assert change[0] / len(products.slopes) == pytest.approx(expected, rel=3e-3)


def keep_on_the_way(run: Folder, learning_rate_sum: float) -> None:
    """Have a run's sketches be those of a model that training kept on its way."""
    manifest = run.read_json("sketches/manifest.json")
    kept = {"step": 3, "share": 0.5, "learning_rate_sum": learning_rate_sum}
    run.write_json("sketches/manifest.json", manifest | {"kept": kept})


@pytest.mark.parametrize("keep_sweep", [False, True])
def test_what_score_does_unasked_is_compared(tmp_path, keep_sweep):
    run = build_store(tmp_path, TRAIN)
    keep_on_the_way(run, 40.0)
    config = score_config("gauss_newton", tolerance=1e-9, keep_sweep=keep_sweep)
    rows, records = scored(run, config)
    record = records["gauss_newton"]
    lam = record.queries["q"].damping * record.trace
    assert lam == pytest.approx(6 / 40)  # over the sum of training's learning rates
    assert ("influence_gauss_newton_0.001_q" in rows[0]) == keep_sweep
    products = read_products(run, "q", 1, smoothing=0.2)
    harm = dict(effects(products, 0.1))[SCORED] @ products.slopes
    harm *= products.labels.n / len(products.slopes)
    counted = [row for row in rows if row["status"] == "ok"]
    expected = column(counted, "influence_gauss_newton_q")
    np.testing.assert_allclose(harm, expected, rtol=2e-3, atol=1e-5 * abs(harm).max())


def test_other_runs_of_the_labels_are_compared_and_averaged(tmp_path):
    runs = {}
    for name, rates in (("a", 40.0), ("b", 4.0)):
        run = build_store(tmp_path / name, TRAIN)
        keep_on_the_way(run, rates)
        runs[name] = read_products(run, "q", 1)
    found = effects_of_runs(runs, 0.1)
    own, other = (dict(effects(run, 0.1)) for run in runs.values())
    np.testing.assert_array_equal(found[SCORED], own[SCORED])
    np.testing.assert_array_equal(found[f"{SCORED}@b"], other[SCORED])
    np.testing.assert_allclose(found[MEAN], (own[SCORED] + other[SCORED]) / 2)
    assert not any(f"{name}@b" in found for name in CONTROLS)
    assert MEAN not in effects_of_runs({"a": runs["a"]}, 0.1)
    runs["c"] = read_products(build_store(tmp_path / "c", TRAIN[:1]), "q", 1)
    with pytest.raises(ValueError, match="--also c: its labels are not those of a"):
        effects_of_runs(runs, 0.1)
