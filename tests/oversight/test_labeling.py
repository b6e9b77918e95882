"""Rated responses to pairs, and pairs to the labels of simulated labelers."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from inflib.config.data import SourceConfig
from inflib.config.oversight import SimulationConfig
from inflib.oversight.labeling import (
    cosine,
    differences,
    draw_labelers,
    labelled_lines,
    prefers_first,
)
from inflib.oversight.rated import Rated, RatedPair, read_pairs, stop_at

EXPERT = np.array([1.04, 0.46, 0.47, -0.33])


def pair(first, second, number=0):
    """Responses "one" and "two" to one prompt, with these scores."""
    return RatedPair(
        f"p{number}", Rated("q", "one", tuple(first)), Rated("q", "two", tuple(second))
    )


def test_the_second_response_wins_only_where_it_scores_strictly_higher():
    pairs = [
        pair((3.0, 1.0), (1.0, 2.0)),
        pair((1.0, 1.0), (1.0, 2.0)),
        pair((2.0, 2.0), (3.0, 1.0)),
    ]
    first = prefers_first([1.0, 1.0], differences(pairs))
    assert first.tolist() == [True, False, True]  # the last one is a tie


def test_lines_hold_both_scores_and_whether_the_expert_disagrees():
    pairs = [pair((3.0, 1.0), (1.0, 2.0)), pair((1.0, 1.0), (1.0, 2.0), 1)]
    text = labelled_lines(pairs, ("x", "y"), [0.0, 1.0], [1.0, 0.0], "bob")
    clear, tied = map(json.loads, text.splitlines())
    assert (clear["chosen"], clear["rejected"]) == ("two", "one")
    assert (clear["x_chosen"], clear["x_rejected"]) == (1, 3)
    assert (clear["first_chosen"], clear["disagrees"]) == (False, True)
    assert (tied["chosen"], tied["disagrees"]) == ("two", True)  # a tie for the expert
    assert clear["labeler"] == "bob"


def source_of(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SourceConfig(path=str(path))


def rated(prompt, response, *scores):
    return {"prompt": prompt, "response": response, "x": scores[0], "y": scores[1]}


def test_rows_of_a_prompt_are_paired_unless_texts_or_scores_are_equal(tmp_path):
    source = source_of(
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
    source = source_of(tmp_path / "a.jsonl", rows)
    pairs, _ = read_pairs(source, ("x", "y"), 2, seed=0)
    assert len(pairs) == 400 and len({p.pair_id for p in pairs}) == 400
    assert pairs == read_pairs(source, ("x", "y"), 2, seed=0)[0]
    assert pairs != read_pairs(source, ("x", "y"), 2, seed=1)[0]
    better_first = np.mean([p.first.scores[1] > p.second.scores[1] for p in pairs])
    assert abs(better_first - 0.5) < 4 * 0.5 / 400**0.5
    halves = [
        read_pairs(source.model_copy(update={"part": part}), ("x", "y"), 2, seed=0)[0]
        for part in ((0.0, 0.5), (0.5, 1.0))
    ]
    assert sorted(p.pair_id for half in halves for p in half) == sorted(
        p.pair_id for p in pairs
    )


def test_data_without_a_pair_is_refused(tmp_path):
    rows = [rated("p", "a", 1, 2), rated("q", "b", 1, 1)]
    source = source_of(tmp_path / "a.jsonl", rows)
    with pytest.raises(ValueError, match=r"a.jsonl: no two responses to one prompt"):
        read_pairs(source, ("x", "y"), 1, seed=0)
    with pytest.raises(ValueError, match="row 1: no number in 'z'"):
        read_pairs(source, ("z",), 1, seed=0)


def test_drawn_labelers_agree_with_the_expert_within_limits_and_are_not_alike():
    scores = np.random.default_rng(0).integers(1, 6, (2, 4000, 4)).astype(float)
    gaps = scores[0] - scores[1]
    config = SimulationConfig(expert=tuple(EXPERT), draw=6, agreement=(0.6, 0.7))
    labelers = draw_labelers(config, gaps)
    assert len(labelers) == 6 and labelers == draw_labelers(config, gaps)
    expert = prefers_first(EXPERT, gaps)
    for i, weights in enumerate(labelers):
        agreement = accuracy_score(expert, prefers_first(weights, gaps))
        assert 0.6 <= agreement <= 0.7
        assert all(cosine(weights, earlier) <= 0.98 for earlier in labelers[:i])
    never = config.model_copy(update={"agreement": (0.0, 0.01)})
    with pytest.raises(ValueError, match="0 of 6 labelers found"):
        draw_labelers(never, gaps)
