"""Labels by weights, Algorithm 1, guidance: each against what it should find."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import cosine as cosine_distance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score

from inflib.config.data import SourceConfig
from inflib.config.oversight import OversightConfig, SimulationConfig
from inflib.oversight.experiment import (
    LabelerChoices,
    ablations,
    mean_over,
    new_weights,
)
from inflib.oversight.expert_weights import agreeing, direction, extremes, outcome
from inflib.oversight.guidance import decisions, differs, own_weights, said
from inflib.oversight.labeling import (
    cosine,
    differences,
    draw_labelers,
    labelled_lines,
    prefers_first,
)
from inflib.oversight.rated import Rated, RatedPair, read_pairs, stop_at

NAMES = ("right", "clear", "deep", "long")
EXPERT = np.array([1.04, 0.46, 0.47, -0.33])
LABELER = np.array([1.1, 1.0, 3.1, 3.0])
RNG = np.random.default_rng(0)
APART = RNG.integers(1, 6, (4000, 4)) - RNG.integers(1, 6, (4000, 4)).astype(float)


def pair(first, second, number=0):
    return RatedPair(
        f"p{number}", Rated("q", "one", tuple(first)), Rated("q", "two", tuple(second))
    )


def labels_of(weights, apart=APART):
    first = prefers_first(weights, apart)
    turned = np.where(first[:, None], apart, -apart)
    ids = [f"p{i}" for i in range(len(apart))]
    return LabelerChoices(ids, turned, first, first != prefers_first(EXPERT, apart))


def test_the_second_response_wins_only_where_its_score_is_strictly_higher():
    pairs = [
        pair((3.0, 1.0), (1.0, 2.0)),
        pair((1.0, 1.0), (1.0, 2.0)),
        pair((2.0, 2.0), (3.0, 1.0)),
    ]
    found = prefers_first([1.0, 1.0], differences(pairs))
    assert found.tolist() == [True, False, True]  # the last one is a tie


def test_lines_hold_both_scores_and_whether_the_expert_disagrees():
    pairs = [pair((3.0, 1.0), (1.0, 2.0)), pair((1.0, 1.0), (1.0, 2.0), 1)]
    text = labelled_lines(pairs, ("x", "y"), [0.0, 1.0], [1.0, 0.0], "bob")
    one, two = map(json.loads, text.splitlines())
    assert (one["chosen"], one["rejected"]) == ("two", "one")
    assert (one["x_chosen"], one["x_rejected"]) == (1, 3)
    assert (one["first_chosen"], one["disagrees"]) == (False, True)
    assert (two["chosen"], two["disagrees"]) == ("two", True)  # the expert's tie
    assert one["labeler"] == "bob"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SourceConfig(path=str(path))


def rated(prompt, response, *scores):
    return {"prompt": prompt, "response": response, "x": scores[0], "y": scores[1]}


def test_rows_of_a_prompt_that_follow_each_other_are_paired(tmp_path):
    source = write(
        tmp_path / "a.jsonl",
        [
            rated("p", "a", 1, 2),
            rated("p", "b", 1, 3),
            rated("q", "a", 1, 2),
            rated("q", "a", 2, 2),  # the same text
            rated("r", "a", 1, 2),
            rated("r", "b", 1, 2),  # the same scores
            rated("s", "a", 1, 2),
            rated("s", "b", None, 2),
            {"prompt": "s", "x": 1, "y": 1},
            rated("s", "c", 3, 3),
        ],
    )
    pairs, bad = read_pairs(source, ("x", "y"), 5, seed=0)
    assert [p.first.prompt for p in pairs] == ["p", "s"]
    assert {pairs[1].first.response, pairs[1].second.response} == {"a", "c"}
    problems = [(row.row, row.problem) for row in bad]
    assert problems == [
        (8, "no number in 'x' (oversight.objectives)"),
        (9, "no text in 'response'"),
    ]
    with pytest.raises(ValueError, match=r"2 rows.*\n.*a.jsonl row 8: no number in"):
        stop_at(bad)
    stop_at([])


def test_pairs_are_few_per_prompt_in_random_order_and_the_same_every_time(tmp_path):
    rows = [rated(f"p{i}", f"r{j}", i + j, j) for i in range(200) for j in range(4)]
    source = write(tmp_path / "a.jsonl", rows)
    pairs, _ = read_pairs(source, ("x", "y"), 2, seed=0)
    assert len(pairs) == 400 and len({p.pair_id for p in pairs}) == 400
    assert pairs == read_pairs(source, ("x", "y"), 2, seed=0)[0]
    assert pairs != read_pairs(source, ("x", "y"), 2, seed=1)[0]
    ahead = np.mean([p.first.scores[1] > p.second.scores[1] for p in pairs])
    assert abs(ahead - 0.5) < 4 * 0.5 / 400**0.5
    halves = [
        read_pairs(source.model_copy(update={"part": part}), ("x", "y"), 2, seed=0)[0]
        for part in ((0.0, 0.5), (0.5, 1.0))
    ]
    assert sorted(p.pair_id for half in halves for p in half) == sorted(
        p.pair_id for p in pairs
    )


def test_data_without_a_pair_is_refused(tmp_path):
    source = write(tmp_path / "a.jsonl", [rated("p", "a", 1, 2), rated("q", "b", 1, 1)])
    with pytest.raises(ValueError, match=r"a.jsonl: no two responses to one prompt"):
        read_pairs(source, ("x", "y"), 1, seed=0)
    with pytest.raises(ValueError, match="row 1: no number in 'z'"):
        read_pairs(source, ("z",), 1, seed=0)


def test_drawn_labelers_agree_as_much_as_asked_and_differ_from_each_other():
    config = SimulationConfig(expert=tuple(EXPERT), draw=6, agreement=(0.6, 0.7))
    found = draw_labelers(config, APART)
    assert len(found) == 6 and found == draw_labelers(config, APART)
    expert = prefers_first(EXPERT, APART)
    for i, weights in enumerate(found):
        agreement = accuracy_score(expert, prefers_first(weights, APART))
        assert 0.6 <= agreement <= 0.7
        assert all(cosine(weights, other) <= 0.98 for other in found[:i])
    never = config.model_copy(update={"agreement": (0.0, 0.01)})
    with pytest.raises(ValueError, match="0 of 6 labelers found"):
        draw_labelers(never, APART)


def test_clean_labels_give_the_experts_weights_in_any_units():
    labels = labels_of(LABELER)
    weights = direction(labels.differences, ~labels.disagrees)
    assert cosine(weights, EXPERT) > 0.995
    assert np.linalg.norm(weights) == pytest.approx(1)
    units = np.array([1.0, 100.0, 0.01, 1.0])
    scaled = direction(labels.differences * units, ~labels.disagrees)
    assert cosine(scaled * units, weights) > 0.999
    assert cosine(direction(labels.differences, labels.disagrees), EXPERT) < -0.995


def test_one_sided_labels_give_no_direction():
    assert not direction(APART, np.ones(len(APART), dtype=bool)).any()
    constant = np.column_stack([APART[:, 0], np.zeros(len(APART))])
    found = direction(constant, APART[:, 0] > 0)
    assert found[0] == pytest.approx(1) and found[1] == 0


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_algorithm_1_finds_the_expert_by_scores_that_follow_agreement(noise):
    labels = labels_of(LABELER)
    suspicion = -labels.differences @ EXPERT + noise * RNG.normal(size=len(APART))
    found = new_weights(labels, {"influence": suspicion}, seed=0)
    assert list(found) == ["influence", "least_squares", "random", "upper_bound"]
    assert cosine(found["influence"], EXPERT) > 0.98
    exact = LinearRegression(fit_intercept=False).fit(labels.differences, -suspicion)
    assert cosine(found["least_squares"], exact.coef_) == pytest.approx(1)
    assert np.linalg.norm(found["least_squares"]) == pytest.approx(1)
    assert cosine(exact.coef_, EXPERT) > 0.99
    assert cosine(found["upper_bound"], EXPERT) > 0.98
    assert outcome(found["influence"], EXPERT, APART)["label_accuracy"] > 0.93
    assert abs(cosine(found["random"], EXPERT)) < 0.97


def test_half_of_the_labels_agree_and_extremes_are_the_ends():
    scores = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])
    assert agreeing(scores).tolist() == [False, True, True, True, False, False]
    places, agree = extremes(scores, 1 / 3)
    assert places.tolist() == [1, 3, 0, 5] and agree.tolist() == [True, True, 0, 0]
    assert len(extremes(scores, 0.01)[0]) == 2


def test_outcomes_are_accuracy_and_cosine():
    weights = RNG.normal(size=4)
    found = outcome(weights, EXPERT, APART)
    same = accuracy_score(prefers_first(EXPERT, APART), prefers_first(weights, APART))
    assert found["label_accuracy"] == pytest.approx(same)
    assert found["cosine"] == pytest.approx(1 - cosine_distance(weights, EXPERT))
    assert cosine(np.zeros(4), EXPERT) == 0


def test_edits_turn_round_what_the_new_weights_would():
    labels = labels_of(LABELER)
    edits = labels.edits(EXPERT)
    wrong = {i for i, d in zip(labels.pair_ids, labels.disagrees, strict=True) if d}
    assert set(edits) == wrong
    assert not labels.edits(LABELER)
    assert {edit.sign for edit in edits.values()} == {-1}


def test_ablations_have_a_row_for_every_part_and_share():
    labels = labels_of(LABELER)
    config = SimulationConfig(expert=tuple(EXPERT), shares=(0.1,))
    exact = -labels.differences @ EXPERT
    parts = np.stack([RNG.normal(size=len(exact)), exact], axis=1)
    rows = ablations(config, labels, exact, [10, 50], parts)
    assert [(row["field"], row["value"]) for row in rows] == [
        ("query labels", 10),
        ("query labels, least squares", 10),
        ("query labels", 50),
        ("query labels, least squares", 50),
        ("share at either end", 0.5),
        ("share at either end", 0.1),
    ]
    assert rows[2]["cosine"] > 0.98 > rows[0]["cosine"]
    assert rows[3]["cosine"] == pytest.approx(1) and rows[1]["cosine"] < 0.98
    assert rows[5]["cosine"] > 0.95


def test_means_are_over_the_labelers_that_have_the_figure():
    rows: list[dict[str, Any]]
    rows = [{"m": {"a_before": 1.0, "weights": [1.0]}, "n": {"a_before": 4.0}}]
    rows.append({"m": {"a_before": 3.0, "weights": [2.0]}, "n": {"a_before": 4.0}})
    found = mean_over(rows)
    assert found["m"]["a_before"] == 2 and found["n"]["a_before"] == 4
    assert found["m"]["a_before_low"] < 2 < found["m"]["a_before_high"]
    assert found["m"]["labelers"] == [row["m"] for row in rows]


def config(**changes):
    return OversightConfig.model_validate({"objectives": NAMES} | changes)


def test_a_labelers_own_weights_are_those_of_the_decisions():
    labels = labels_of(LABELER)
    assert cosine(own_weights(labels.differences), LABELER) > 0.995


def test_guidance_names_the_objectives_that_are_weighed_otherwise():
    labels = labels_of(LABELER, APART[:600])
    influence = -labels.differences @ EXPERT + RNG.normal(size=600)
    rows = differs(labels.differences, influence, config(resamples=100))
    truth = LABELER / np.linalg.norm(LABELER) - EXPERT / np.linalg.norm(EXPERT)
    assert [row["objective"] for row in rows] == list(NAMES)
    for row, exact in zip(rows, truth, strict=True):
        assert row["low"] <= row["difference"] <= row["high"]
        # Four standard errors. The expert's weight has 1 (noise) / 2 (sd of scores)
        # / sqrt(600) / |EXPERT| = 0.016, the labeler's is about as uncertain.
        assert row["difference"] == pytest.approx(exact, abs=0.09)
        assert row["p"] < 0.05
    words = [said(row) for row in rows]
    less, more = (f"weighs it {word} than the expert" for word in ("less", "more"))
    assert words == [less, less, more, more]
    # a labeler like the expert
    labels = labels_of(EXPERT, APART[:600])
    influence = -labels.differences @ EXPERT + RNG.normal(size=600)
    rows = differs(labels.differences, influence, config(resamples=100))
    assert max(abs(row["difference"]) for row in rows) < 0.09
    assert differs(labels.differences[:9], influence[:9], config()) == []


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
        config(simulate=simulate)
