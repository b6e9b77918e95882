"""Verdicts on query sets, and the facts they rest on, in simulated cases."""

import numpy as np
import pyarrow as pa
import pytest

from inflib.config.recipe import Recipe
from inflib.report.evidence import Judged, evidence
from inflib.report.verdict import headline, judge_query_set

RECIPE = Recipe.model_validate(
    {
        "run": "x",
        "prepare": {"train": {"path": "t"}, "queries": {"q": {"path": "q"}}},
        "model": {"base": "b"},
    }
)
SCORE = "identity_q"


def judged(rng, accuracy, labels, start=0, per_prompt=1, sure=1.0):
    """Labels with this share of positive margins, on prompts of some labels each."""
    margins = np.abs(rng.normal(0, sure, labels))
    margins *= np.where(rng.random(labels) < accuracy, 1, -1)
    prompts = start + np.arange(labels) // per_prompt
    ids = [f"{p:012x}{i:020x}" for i, p in enumerate(prompts)]
    return Judged(margins, np.array(ids), np.ones(labels))


def scores(rng, labels=2000, reliable=3.0, by_norm=False):
    """Scores of training labels by ten query groups; reliable: size of what the groups
    have in common, beside unit noise."""
    norms = rng.lognormal(0, 0.5, labels)
    common = -np.ones(labels) if by_norm else rng.normal(size=labels)
    parts = norms[:, None] * (
        reliable * common[:, None] + rng.normal(size=(labels, 10))
    )
    values = pa.array(parts.ravel())
    return pa.table(
        {
            f"influence_{SCORE}": parts.sum(1),
            "gradient_norm": norms,
            f"parts_{SCORE}": pa.FixedSizeListArray.from_arrays(values, 10),
        }
    )


GOOD = scores(np.random.default_rng(0))


TRAIN = judged(np.random.default_rng(1), 0.75, 2000, start=10**6)


def verdict(query, train=TRAIN, table=GOOD, report=None, recipe=RECIPE):
    facts = evidence(query, train, table, SCORE, report or {})
    return judge_query_set(facts, recipe)


FACTS = evidence(TRAIN, TRAIN, GOOD, SCORE, {}) | {"comparisons_in_train": 0.0}


def by_accuracy(query):
    """Status of a query set whose other facts speak for it."""
    found = {"accuracy": query.accuracy, "too_sure": query.is_too_sure()}
    return judge_query_set(FACTS | found | {"prompts_in_train": 0.0}, RECIPE)["status"]


def test_nothing_speaks_against_a_model_that_agrees_with_many_labels():
    found = verdict(judged(np.random.default_rng(0), 0.75, 400))
    assert found == {"status": "trusted", "reasons": [], "labels_to_halve": 1200}


@pytest.mark.parametrize("per_prompt", [1, 5])
@pytest.mark.parametrize("labels", [60, 400])
def test_at_chance_an_audit_is_hardly_ever_trusted(labels, per_prompt):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        found.append(by_accuracy(judged(rng, 0.5, labels, per_prompt=per_prompt)))
    # The interval lies above chance in 2.5%, and clear of it in fewer.
    assert found.count("trusted") <= 2
    assert found.count("not usable") >= 0.95 * 200 - 4 * (200 * 0.05 * 0.95) ** 0.5


def test_a_model_that_is_right_on_three_quarters_is_nearly_always_trusted():
    rng = np.random.default_rng(0)
    found = [by_accuracy(judged(rng, 0.75, 300)) for _ in range(200)]
    assert found.count("trusted") > 180


@pytest.mark.parametrize(
    ("right", "labels"), [(0.471, 102), (0.515, 102), (0.560, 102), (0.471, 66)]
)
def test_summevals_negative_result_is_said_beforehand(right, labels):
    """Accuracies of docs/results.md, of which no method could make anything."""
    margins = np.where(np.arange(labels) < round(right * labels), 1.0, -1.0)
    ids = [f"{i // 6:012x}{i:020x}" for i in range(labels)]  # six pairs an article
    found = verdict(Judged(margins, np.array(ids), np.ones(labels)))
    assert found["status"] == "not usable"
    assert "at chance" in found["reasons"][0]


def test_few_labels_or_prompts_are_not_usable_however_right_the_model_is():
    rng = np.random.default_rng(0)
    for query in (judged(rng, 1.0, 20), judged(rng, 1.0, 90, per_prompt=10)):
        found = verdict(query)
        assert found["status"] == "not usable"
        assert "are the least" in found["reasons"][0]
    alone = judged(rng, 1.0, 90, per_prompt=90)  # one prompt: no interval
    assert verdict(alone)["labels_to_halve"] is None
    small = verdict(judged(rng, 0.8, 40))
    assert small["status"] == "doubtful" and "120 more labels" in small["reasons"][0]


def test_ties_are_left_out_and_targets_below_a_half_turn_labels_over():
    rng = np.random.default_rng(0)
    query = judged(rng, 0.75, 300)
    targets = np.where(
        np.arange(300) < 100, 0.2, np.where(np.arange(300) < 200, 0.5, 1)
    )
    turned = np.where(np.arange(300) < 100, -1, 1) * query.margins
    turned[:120] = np.where(np.arange(120) >= 110, 0, turned[:120])
    found = Judged(turned, query.comparisons, targets).accuracy
    right = np.r_[query.margins[:100], query.margins[200:]] > 0
    assert found is not None
    assert (found["labels"], found["share"]) == (200, pytest.approx(right.mean()))


def test_a_model_that_learned_nothing_names_the_options_to_change():
    rng = np.random.default_rng(0)
    query, train = judged(rng, 0.5, 300), judged(rng, 0.5, 1000, start=10**6)
    found = verdict(query, train)
    assert found["status"] == "not usable"
    assert "raise train.learning_rate (" in found["reasons"][1]
    adapter = RECIPE.model_copy(
        update={"model": RECIPE.model.model_copy(update={"adapter": "a/b"})}
    )
    assert "model.adapter a/b" in verdict(query, train, recipe=adapter)["reasons"][1]
    learned = verdict(query, judged(rng, 0.98, 1000, start=10**6))
    assert "is not what this set asks for" in learned["reasons"][1]


def test_a_model_that_contradicts_a_query_set_is_doubtful():
    found = verdict(judged(np.random.default_rng(0), 0.2, 400))
    assert found["status"] == "doubtful" and "contradicts" in found["reasons"][0]


def test_a_model_that_is_too_sure_is_doubtful_and_a_calibrated_one_is_not():
    rng = np.random.default_rng(0)
    flagged = {1.0: 0, 0.3: 0}
    for scale in flagged:
        for _ in range(100):
            rewards = rng.normal(0, 1, 150)
            agrees = rng.random(150) < 1 / (1 + np.exp(-rewards))
            margins = np.where(agrees, rewards, -rewards) / scale
            ids = np.array([f"{i:012x}{i:020x}" for i in range(150)])
            flagged[scale] += Judged(margins, ids, np.ones(150)).is_too_sure()
    assert flagged[1.0] <= 5 and flagged[0.3] >= 90
    found = verdict(Judged(margins, ids, np.ones(150)))
    assert any("too sure of itself" in reason for reason in found["reasons"])
    assert Judged(margins, ids, np.ones(150)).means.best_scale == pytest.approx(
        0.3, abs=0.2
    )


def test_scores_that_halves_of_the_query_set_do_not_share():
    rng = np.random.default_rng(0)
    query = judged(rng, 0.75, 400)
    noise = verdict(query, table=scores(rng, reliable=0.0))
    assert noise["status"] == "not usable" and "unlike" in noise["reasons"][0]
    weak = verdict(query, table=scores(rng, reliable=0.4))
    assert weak["status"] == "doubtful" and "score.reliability" in weak["reasons"][0]


def test_scores_that_are_gradient_norms():
    rng = np.random.default_rng(0)
    found = verdict(judged(rng, 0.75, 400), table=scores(rng, by_norm=True))
    assert found["status"] == "doubtful" and "gradient norms" in found["reasons"][0]


def test_leakage_is_said():
    rng = np.random.default_rng(0)
    query, train = judged(rng, 0.75, 400), judged(rng, 0.75, 2000, start=10**6)

    def leaked(count, prompts_alone=False):
        ids = query.comparisons[:count]
        if prompts_alone:
            ids = np.array([name[:12] + "f" * 20 for name in ids])
        both = np.concatenate([ids, train.comparisons[count:]])
        return verdict(query, Judged(train.margins, both, train.targets))

    assert leaked(10)["status"] == "trusted"
    assert leaked(40) == {
        "status": "doubtful",
        "reasons": ["10% of it are training comparisons"],
        "labels_to_halve": 1200,
    }
    assert leaked(400)["status"] == "not usable"
    remarked = leaked(400, prompts_alone=True)
    assert remarked["status"] == "trusted"
    assert remarked["reasons"][0].startswith("100% of it is on training prompts")
    near = verdict(query, report={"near_in_train": 80, "labels": 400})
    assert near["reasons"] == ["20% of it are nearly training comparisons"]


def test_one_sentence_says_for_which_query_sets_to_act():
    good = {"status": "trusted", "reasons": []}
    chance = "the reward model is at chance there (0.52, 0.48 to 0.56)"
    bad = {"status": "not usable", "reasons": [chance, "more"]}
    unsure = {"status": "doubtful", "reasons": ["it is small"]}
    assert headline({"concise": good, "full": bad}) == (
        f'This audit can be acted on for "concise"; not for "full": {chance}.'
    )
    assert headline({"a": good, "b": good}) == (
        'This audit can be acted on for "a", "b".'
    )
    assert headline({"a": bad}) == f'This audit cannot be acted on for "a": {chance}.'
    assert headline({"a": unsure, "b": bad}) == (
        'This audit can be acted on with doubts for "a": it is small; '
        f'not for "b": {chance}.'
    )
    assert headline({"a": good, "b": unsure}) == (
        'This audit can be acted on for "a"; with doubts for "b": it is small.'
    )


def test_the_reason_that_decides_comes_first():
    """Barely better than chance is doubtful; scores that halves do not share decide."""
    accuracy = {"share": 0.6, "low": 0.53, "high": 0.67, "labels": 200, "prompts": 200}
    facts = FACTS | {"accuracy": accuracy, "reliability": -0.1, "prompts_in_train": 0.0}
    verdict = judge_query_set(facts, RECIPE)
    assert verdict["status"] == "not usable"
    assert "rank the labels unlike" in verdict["reasons"][0]
    assert "barely better" in verdict["reasons"][1]
    assert "rank the labels unlike" in headline({"expert": verdict})
