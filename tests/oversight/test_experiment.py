"""Algorithm 1, its ablations and guidance, against the weights that made the labels."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import cosine as cosine_distance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score

from inflib.config.oversight import OversightConfig, SimulationConfig
from inflib.oversight.experiment import (
    LabelerChoices,
    ablations,
    means_over_labelers,
    new_weights,
)
from inflib.oversight.expert_weights import agreeing, extremes, outcome, svm_weights
from inflib.oversight.guidance import (
    decisions,
    in_words,
    labeler_weights,
    weight_differences,
)
from inflib.oversight.labeling import cosine, prefers_first

NAMES = ("right", "clear", "deep", "long")
EXPERT = np.array([1.04, 0.46, 0.47, -0.33])
LABELER = np.array([1.1, 1.0, 3.1, 3.0])


def first_minus_second():
    scores = np.random.default_rng(0).integers(1, 6, (2, 4000, len(NAMES)))
    return (scores[0] - scores[1]).astype(float)


GAPS = first_minus_second()
"""Scores of the first response minus those of the second, of 4000 pairs."""


def labels_of(weights, gaps=GAPS):
    """The labels of a labeler with these weights."""
    first = prefers_first(weights, gaps)
    chosen_minus_rejected = np.where(first[:, None], gaps, -gaps)
    ids = [f"p{i}" for i in range(len(gaps))]
    disagrees = first != prefers_first(EXPERT, gaps)
    return LabelerChoices(ids, chosen_minus_rejected, first, disagrees)


def noise(size, seed):
    return np.random.default_rng(seed).normal(size=size)


def test_clean_labels_give_the_experts_weights_in_any_units():
    labels = labels_of(LABELER)
    weights = svm_weights(labels.differences, ~labels.disagrees)
    assert cosine(weights, EXPERT) > 0.995
    assert np.linalg.norm(weights) == pytest.approx(1)
    units = np.array([1.0, 100.0, 0.01, 1.0])
    scaled = svm_weights(labels.differences * units, ~labels.disagrees)
    assert cosine(scaled * units, weights) > 0.999
    assert cosine(svm_weights(labels.differences, labels.disagrees), EXPERT) < -0.995


def test_one_sided_labels_give_no_direction():
    assert not svm_weights(GAPS, np.ones(len(GAPS), dtype=bool)).any()


def test_an_objective_in_which_no_responses_differ_has_weight_0():
    with_constant = np.column_stack([GAPS[:, 0], np.zeros(len(GAPS))])
    weights = svm_weights(with_constant, GAPS[:, 0] > 0)
    assert weights[0] == pytest.approx(1) and weights[1] == 0


@pytest.mark.parametrize("deviation", [0.0, 2.0])
def test_algorithm_1_finds_the_expert_by_scores_that_follow_agreement(deviation):
    labels = labels_of(LABELER)
    suspicion = -labels.differences @ EXPERT + deviation * noise(len(GAPS), seed=1)
    weights = new_weights(labels, {"influence": suspicion}, seed=0)
    assert list(weights) == ["influence", "least_squares", "random", "upper_bound"]
    assert cosine(weights["influence"], EXPERT) > 0.98
    exact = LinearRegression(fit_intercept=False).fit(labels.differences, -suspicion)
    assert cosine(weights["least_squares"], exact.coef_) == pytest.approx(1)
    assert np.linalg.norm(weights["least_squares"]) == pytest.approx(1)
    assert cosine(exact.coef_, EXPERT) > 0.99
    assert cosine(weights["upper_bound"], EXPERT) > 0.98
    assert outcome(weights["influence"], EXPERT, GAPS)["label_accuracy"] > 0.93


def test_random_weights_are_no_nearer_to_the_expert_than_to_the_opposite():
    labels = labels_of(LABELER, GAPS[:400])
    suspicion, seeds = {"influence": -labels.differences @ EXPERT}, range(256)
    weights = [new_weights(labels, suspicion, seed)["random"] for seed in seeds]
    cosines = {cosine(each, EXPERT) for each in weights}
    assert len(cosines) == len(seeds)
    # Exchanged halves are as likely and give the opposite weights, so the cosine's mean
    # is 0. Its standard deviation is at most 1.
    assert abs(np.mean([*cosines])) < 4 / len(seeds) ** 0.5


def test_half_of_the_labels_agree_and_extremes_are_the_ends():
    scores = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])
    assert agreeing(scores).tolist() == [False, True, True, True, False, False]
    places, agree = extremes(scores, 1 / 3)
    assert places.tolist() == [1, 3, 0, 5] and agree.tolist() == [True, True, 0, 0]
    assert len(extremes(scores, 0.01)[0]) == 2


def test_outcomes_are_accuracy_and_cosine():
    metrics = outcome(LABELER, EXPERT, GAPS)
    same = accuracy_score(prefers_first(EXPERT, GAPS), prefers_first(LABELER, GAPS))
    assert metrics["label_accuracy"] == pytest.approx(same)
    assert metrics["cosine"] == pytest.approx(1 - cosine_distance(LABELER, EXPERT))
    assert cosine(np.zeros(4), EXPERT) == 0


def test_edits_flip_the_labels_that_new_weights_would_not_have_made():
    labels = labels_of(LABELER)
    edits = labels.edits(EXPERT)
    wrong = {i for i, d in zip(labels.pair_ids, labels.disagrees, strict=True) if d}
    assert set(edits) == wrong
    assert not labels.edits(LABELER)
    assert {edit.action for edit in edits.values()} == {"flip"}


def test_ablations_have_a_row_for_every_subset_and_share():
    labels = labels_of(LABELER)
    config = SimulationConfig(expert=tuple(EXPERT), shares=(0.1,))
    exact = -labels.differences @ EXPERT
    rows = ablations(config, labels, exact, [10, 50], np.stack([-exact, exact], axis=1))
    assert [(row["field"], row["value"]) for row in rows] == [
        ("query labels", 10),
        ("query labels, least squares", 10),
        ("query labels", 50),
        ("query labels, least squares", 50),
        ("share at either end", 0.5),
        ("share at either end", 0.1),
    ]
    assert rows[0]["cosine"] < -0.98 and rows[1]["cosine"] == pytest.approx(-1)
    assert rows[2]["cosine"] > 0.98 and rows[3]["cosine"] == pytest.approx(1)
    assert rows[4]["cosine"] > 0.98 and rows[5]["cosine"] > 0.95


def test_means_over_labelers_have_intervals_and_keep_the_labelers_rows():
    rows: list[dict[str, Any]]
    rows = [{"m": {"a_before": 1.0, "weights": [1.0]}, "n": {"a_before": 4.0}}]
    rows.append({"m": {"a_before": 3.0, "weights": [2.0]}, "n": {"a_before": 4.0}})
    means = means_over_labelers(rows)
    assert means["m"]["a_before"] == 2 and means["n"]["a_before"] == 4
    assert means["m"]["a_before_low"] < 2 < means["m"]["a_before_high"]
    assert means["m"]["labelers"] == [row["m"] for row in rows]


def oversight(**fields):
    return OversightConfig.model_validate({"objectives": NAMES} | fields)


def test_a_labelers_weights_are_those_of_the_decisions():
    labels = labels_of(LABELER)
    assert cosine(labeler_weights(labels.differences), LABELER) > 0.995


def test_guidance_names_the_objectives_that_are_weighed_otherwise():
    labels = labels_of(LABELER, GAPS[:600])
    influence = -labels.differences @ EXPERT + noise(600, seed=1)
    rows = weight_differences(labels.differences, influence, oversight(resamples=100))
    truth = LABELER / np.linalg.norm(LABELER) - EXPERT / np.linalg.norm(EXPERT)
    assert [row["objective"] for row in rows] == list(NAMES)
    for row, exact in zip(rows, truth, strict=True):
        assert row["low"] <= row["difference"] <= row["high"]
        # Four standard errors. The expert's weight has 1 (noise) / 2 (sd of scores)
        # / sqrt(600) / |EXPERT| = 0.016, the labeler's is about as uncertain.
        assert row["difference"] == pytest.approx(exact, abs=0.09)
        assert row["p"] < 0.05
    words = [in_words(row) for row in rows]
    less, more = (f"weighs it {word} than the expert" for word in ("less", "more"))
    assert words == [less, less, more, more]


def test_guidance_has_little_to_say_of_a_labeler_like_the_expert_or_of_few_labels():
    labels = labels_of(EXPERT, GAPS[:600])
    influence = -labels.differences @ EXPERT + noise(600, seed=1)
    rows = weight_differences(labels.differences, influence, oversight(resamples=100))
    assert max(abs(row["difference"]) for row in rows) < 0.09  # as above
    assert weight_differences(labels.differences[:9], influence[:9], oversight()) == []


def test_decisions_are_the_harmful_ones_with_their_score_differences():
    table = pa.table(
        {
            "pair_id": ["a", "b", "c"],
            "influence_k_q": [0.5, 2.0, -1.0],
            "error_k_q": [0.1, 0.2, 0.3],
            **{f"{n}_chosen": [1.0, 2.0, 3.0] for n in NAMES},
            **{f"{n}_rejected": [2.0, 1.0, 3.0] for n in NAMES},
        }
    )
    rows = decisions(table, "k_q", NAMES, 3)
    assert [row["pair_id"] for row in rows] == ["b", "a"]
    assert (rows[0]["influence"], rows[0]["error"], rows[0]["long"]) == (2.0, 0.2, 1.0)
    assert len(decisions(table, "k_q", NAMES, 1)) == 1
    with pytest.raises(ValueError, match="'other_chosen'"):
        decisions(table, "k_q", ("other",), 1)


@pytest.mark.parametrize(
    ("simulate", "problem"),
    [
        ({"expert": [1, 2]}, "2 weights for 4 objectives"),
        ({"expert": [1, 2, 3, 4], "labelers": [[1, 2]]}, "2 weights, the expert has 4"),
        ({"expert": [1, 2, 3, 4], "shares": [0.7]}, "at most 0.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(simulate, problem):
    with pytest.raises(ValueError, match=problem):
        oversight(simulate=simulate)
