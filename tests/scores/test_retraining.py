"""Trials of retraining, and how their results are compared with predictions."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr, t

from inflib.config.score import VerifyConfig
from inflib.data.label_edits import Edit
from inflib.numerics.retrained_sizes import RetrainedSize
from inflib.numerics.uncertainty import t_interval
from inflib.scores.retraining import (
    ALL,
    DECIDED,
    METRICS,
    SAME_ON_RANDOM,
    Trial,
    effects_of_trials,
    plan_decided,
    plan_trials,
    read_sizes,
)
from inflib.storage.folder import Folder

SCORES = [0.5, -1.0, None, 3.0, 0.0, 2.0, -2.0, 0.1, 0.2, 0.3, -0.4]
TABLE = pa.table(
    {"pair_id": [f"p{i}" for i in range(11)], "influence_x": pa.array(SCORES)}
)


def by_kind(trials):
    kinds: dict[str, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(trial.kind, []).append(trial)
    return kinds


def test_trials_act_on_the_most_harmful_and_on_as_many_random_labels():
    config = VerifyConfig(share=0.2, seeds=3, groups=4, subsets=5)
    trials = plan_trials(config, TABLE, "x")
    assert len({trial.name for trial in trials}) == len(trials) == 3 * 5 + 4 + 5
    kinds = by_kind(trials)
    for action, weight in (("drop", 0.0), ("flip", 1.0)):
        for trial in kinds[f"{action} harmful"]:
            assert set(trial.edits) == {"p3", "p5"}
            assert {e.weight for e in trial.edits.values()} == {weight}
            assert {e.action for e in trial.edits.values()} == {action}
        drawn = [frozenset(trial.edits) for trial in kinds[f"{action} random"]]
        assert len(set(drawn)) > 1 and {len(ids) for ids in drawn} == {2}
    assert [trial.seed for trial in kinds[ALL]] == [0, 1, 2]
    groups = [list(trial.edits) for trial in kinds["group"]]
    assert [len(ids) for ids in groups] == [3, 3, 2, 2]
    assert groups[0][0] == "p6" and groups[-1][-1] == "p3"
    together = [pair_id for ids in groups for pair_id in ids]
    assert len(together) == 10 and "p2" not in together  # it has no score
    assert {len(trial.edits) for trial in kinds["subset"]} == {5}


def test_changes_are_paired_by_seed_and_rank_correlations_plain():
    config = VerifyConfig(share=0.2, seeds=3, groups=4, subsets=0)
    trials = plan_trials(config, TABLE, "x")
    rng = np.random.default_rng(0)
    measured = {
        trial.name: {metric: rng.uniform() for metric in METRICS} for trial in trials
    }
    predicted = {trial.name: rng.normal() for trial in trials}
    result = effects_of_trials(trials, measured, predicted)
    arms = {row["arm"]: row for row in result["arms"]}
    assert list(arms) == [ALL] + [
        f"{action} {which}"
        for action in ("drop", "flip")
        for which in ("harmful", "random")
    ]
    named = {(trial.kind, trial.number): trial.name for trial in trials}
    changes = [
        measured[named["flip harmful", i]]["accuracy"]
        - measured[named[ALL, i]]["accuracy"]
        for i in range(3)
    ]
    change = arms["flip harmful"]["change_of_accuracy"]
    assert change == t_interval(changes)
    assert change["mean"] == pytest.approx(np.mean(changes))
    assert arms[ALL]["change_of_loss"]["mean"] == 0
    agreement = result["leave_group_out"]
    losses = [measured[named["group", i]]["loss"] for i in range(4)]
    expected = [predicted[named["group", i]] for i in range(4)]
    assert agreement["spearman"] == pytest.approx(spearmanr(expected, losses).statistic)
    assert result["lds"] is None


def test_the_size_is_that_of_all_trials_but_subsets(tmp_path):
    config = VerifyConfig(share=0.2, seeds=2, groups=4, subsets=5)
    trials = plan_trials(config, TABLE, "x")
    rng = np.random.default_rng(0)
    predicted = {t.name: rng.normal() if t.edits else 0.0 for t in trials}
    measured = {}
    for trial in trials:  # subsets would say otherwise
        effect = 3 * predicted[trial.name] if trial.kind != "subset" else rng.normal(50)
        loss = trial.seed + effect
        measured[trial.name] = {"loss": loss, "refined_loss": 0.5, "accuracy": 0.5}
    size = effects_of_trials(trials, measured, predicted)["size"]
    assert size["slope"] == pytest.approx(3) and size["scatter"] < 1e-9
    # the flips and drops of the most harmful labels are the same edits in both seeds
    # ... and the last group is these, dropped
    assert size["edits"] == 2 + 2 * 2 + 4 - 1
    verify = Folder(str(tmp_path)) / "verify"
    summary = {"scores": "x", "sets": {"q": {"size": size}, "few": {"size": None}}}
    verify.write_json("verify.json", summary)
    assert read_sizes(Folder(str(tmp_path)), "x") == {"q": RetrainedSize(**size)}
    assert read_sizes(Folder(str(tmp_path)), "of others") == {}


def test_decisions_are_checked_against_the_same_edits_of_random_labels():
    edits = {"p1": Edit("flip", 1.0), "p2": Edit("drop", 0.0), "p3": Edit("tie", 1.0)}
    trials = plan_decided(4, TABLE, "x", edits)
    kinds = by_kind(trials)
    assert [len(kinds[k]) for k in (ALL, DECIDED, SAME_ON_RANDOM)] == [4, 4, 4]
    assert all(trial.edits == edits for trial in kinds[DECIDED])
    draws = [trial.edits for trial in kinds[SAME_ON_RANDOM]]
    for draw in draws:
        assert sorted(e.action for e in draw.values()) == ["drop", "flip", "tie"]
        assert "p2" not in draw  # it has no score
    assert len({frozenset(draw) for draw in draws}) > 1
    rng = np.random.default_rng(0)
    measured = {
        trial.name: {metric: rng.uniform() for metric in METRICS} for trial in trials
    }
    result = effects_of_trials(trials, measured, dict.fromkeys(measured, 0.0))
    differences = [
        measured[a.name]["loss"] - measured[b.name]["loss"]
        for a, b in zip(kinds[DECIDED], kinds[SAME_ON_RANDOM], strict=True)
    ]
    assert result["against_random"]["loss"] == t_interval(differences)
    assert [row["arm"] for row in result["arms"]] == [ALL, DECIDED, SAME_ON_RANDOM]


def test_decisions_on_more_labels_than_have_a_score_can_be_checked():
    edits = {f"p{i}": Edit("flip", 1.0) for i in range(11)}
    trials = plan_decided(1, TABLE, "x", edits)
    assert [len(trial.edits) for trial in trials] == [0, 11, 10]


def test_the_interval_over_seeds_is_students_t():
    values = [0.3, 0.5, 0.9, 0.4]
    interval = t_interval(values)
    half_width = t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert interval["low"] == pytest.approx(np.mean(values) - half_width)
    assert interval["high"] == pytest.approx(np.mean(values) + half_width)
    assert t_interval([0.3]) == {"mean": 0.3, "low": None, "high": None}
