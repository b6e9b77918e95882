"""Every shape of row that docs/formats.md shows, in the spellings of public data."""

from typing import Any

import pytest

from inflib.shapes.judged import TIE
from tests.support.shaped import labels, problems, texts

Q = "What is a river? "
A, B, C = "Water.", "A hill.", "Ice."


def judged(*rows, **options):
    """[(better, worse, target, strength, labeler)] of labels that are all good."""
    items = labels(*rows, **options)
    texts(items)
    return [
        (p.chosen, p.rejected, p.target, p.strength, p.extra.get("labeler"))
        for p in items
    ]


def test_ranked_answers_make_all_adjacent_or_best_pairs():
    row = {
        "prompt": Q,
        "answers": [
            {"answer": B, "rank": 2.0},
            {"answer": A, "rank": 1.0},
            {"answer": C, "rank": 3.0},
        ],
    }
    everything = [
        (A, B, 1.0, 1.0, None),
        (A, C, 1.0, 2.0, None),
        (B, C, 1.0, 1.0, None),
    ]
    assert judged(row) == everything
    assert judged(row, pairs_of="adjacent") == [everything[0], everything[2]]
    assert judged(row, pairs_of="best") == everything[:2]
    assert [p.name for p in labels(row)] == ["2>1", "2>3", "1>3"]
    seven = {"prompt": Q, "answers": [{"answer": f"x{i}", "rank": i} for i in range(7)]}
    assert len(labels(seven)) == 21


def test_ids_of_labels_of_one_row_differ_and_keep_its_pair_id():
    row = {"prompt": Q, "pair_id": "p", "responses": [A, B, C], "scores": [3, 2, 1]}
    assert [p.pair_id for p in labels(row)] == ["p:1>2", "p:1>3", "p:2>3"]


@pytest.mark.parametrize(
    "answers",
    [
        {
            "completions": [
                {"response": A, "overall_score": 9},
                {"response": B, "overall_score": 4},
                {"response": C, "overall_score": 4},
            ]
        },
        {"responses": [A, B, C], "ratings": ["9", "4", "4"]},
        {
            "answer_1": A,
            "answer_2": B,
            "answer_3": C,
            "score_1": 9,
            "score_2": 4,
            "score_3": 4,
        },
    ],
)
def test_rated_answers_in_each_spelling(answers):
    row = {"instruction": Q, **answers}
    items = labels(row)
    assert problems(items) == ["tie"]
    assert [(p.chosen, p.strength) for p in items[:2]] == [(A, 5.0), (A, 5.0)]
    kept = labels(row, ties="keep")
    assert [p.target for p in kept] == [1.0, 1.0, TIE]


def test_rated_answers_in_rows_of_their_own_are_gathered_by_prompt():
    rows = [
        {"prompt": Q, "response": B, "helpfulness": 1, "correctness": 4},
        {"prompt": "Other? ", "response": C, "helpfulness": 0},
        {"prompt": Q, "response": A, "helpfulness": 3},
    ]
    good, alone = labels(*rows)
    assert (good.row, good.chosen, good.rejected, good.strength) == (1, A, B, 2.0)
    assert alone.row == 2 and "only answer to its prompt" in alone.problem


def test_best_of_n_and_several_rejected():
    row = {"prompt": Q, "candidates": [B, A, C], "best_index": 1}
    assert [each[:2] for each in judged(row)] == [(A, B), (A, C)]
    row = {"prompt": Q, "chosen": A, "rejected": [B, C]}
    assert [each[:2] for each in judged(row)] == [(A, B), (A, C)]


def test_an_edited_response_is_better_than_both():
    row = {"prompt": Q, "edited": A, "chosen": B, "rejected": C}
    assert [each[:2] for each in judged(row)] == [(A, B), (A, C), (B, C)]


WINNERS: dict[str, Any] = {
    "arena words": (
        {"winner": "model_a"},
        {"winner": "model_b"},
        {"winner": "tie (bothbad)"},
    ),
    "letters": ({"preference": "A"}, {"preference": "B"}, {"preference": "Tie"}),
    "column names": (
        {"choice": "response_a"},
        {"choice": "response_b"},
        {"choice": "same"},
    ),
    "sentences": (
        {"verdict": "A is better"},
        {"verdict": "b wins"},
        {"verdict": "equal"},
    ),
    "signed": (
        {"overall_preference": -2},
        {"overall_preference": 1},
        {"overall_preference": 0},
    ),
    "one hot": (
        {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0},
        {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
        {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1},
    ),
    "scores": (
        {"score_a": 3, "score_b": 1},
        {"score_a": 1, "score_b": 2},
        {"score_a": 1, "score_b": 1},
    ),
    "votes": (
        {"votes_a": 3, "votes_b": 0},
        {"votes_a": 0, "votes_b": 2},
        {"votes_a": 2, "votes_b": 2},
    ),
}


@pytest.mark.parametrize("spelling", WINNERS)
def test_winner_columns_in_each_spelling(spelling):
    base = {"prompt": Q, "response_a": A, "response_b": B}
    rows = [base | verdict for verdict in WINNERS[spelling]]
    found = judged(*rows, ties="keep")
    assert [each[:3] for each in found] == [(A, B, 1.0), (B, A, 1.0), (A, B, TIE)]
    assert problems(labels(*rows)) == ["tie"]


def test_indices_say_which_response_is_better():
    zero_one = [
        {"prompt": Q, "response_0": A, "response_1": B, "better_response_id": i}
        for i in (0, 1)
    ]
    assert [each[0] for each in judged(*zero_one)] == [A, B]
    shp = [
        {"history": Q, "human_ref_A": A, "human_ref_B": B, "labels": i} for i in (0, 1)
    ]
    assert [each[0] for each in judged(*shp)] == [B, A]
    one_two = [{"prompt": Q, "answer_1": A, "answer_2": B, "label": i} for i in (1, 2)]
    assert [each[0] for each in judged(*one_two)] == [A, B]
    mapped = judged(*zero_one, verdicts={"0": "b", "1": "a"})
    assert [each[0] for each in mapped] == [B, A]


def test_the_winner_may_be_called_by_its_model():
    row = {"prompt": Q, "model_a": "m1", "model_b": "m2", "response_a": A}
    row |= {"response_b": B, "winner": "m2"}
    assert judged(row)[0][0] == B


def test_values_without_a_usual_meaning_stop_with_the_option_to_set():
    rows = [
        {"prompt": Q, "response_a": A, "response_b": B, "preference": i} for i in (1, 5)
    ]
    with pytest.raises(
        ValueError, match=r"1, 5, which have no usual meaning.*verdicts"
    ):
        labels(*rows)
    assert [each[0] for each in judged(*rows, verdicts={"1": "a", "5": "b"})] == [A, B]


def test_probabilities_and_counts_become_targets():
    base = {"prompt": Q, "response_a": A, "response_b": B}
    soft = judged(base | {"preference": 0.8}, base | {"preference": 0.3})
    assert [each[:3] for each in soft] == [(A, B, 0.8), (B, A, 0.7)]
    (count,) = judged(base | {"votes_a": 1, "votes_b": 3})
    assert count[:3] == (B, A, 0.75)
    (target,) = judged({"prompt": Q, "chosen": A, "rejected": B, "target": 0.6})
    assert target[:3] == (A, B, 0.6)
    row = {"prompt": Q, "chosen": A, "rejected": B, "p": 1.5}
    bad = labels(row, columns={"target": "p"})
    assert problems(bad) == ["'p' is no probability (0 to 1)"]
    row = {"prompt": Q, "chosen": A, "rejected": B, "target": 0, "weight": "heavy"}
    (label,) = labels(row)  # columns of other meanings are left alone
    assert (label.target, label.weight, label.extra["target"]) == (1.0, 1.0, 0)


def test_strength_is_a_column_a_margin_or_a_weight():
    row = {"prompt": Q, "response_a": A, "response_b": B, "preference": -3}
    (column,) = labels(row)
    assert (column.extra["strength"], column.weight) == (3.0, 1.0)
    (weight,) = labels(row, strength="weight")
    assert weight.weight == 3.0
    row = {"prompt": Q, "chosen": A, "rejected": B, "sample_weight": 2.5}
    (own,) = labels(row)
    assert own.weight == 2.5


def test_several_raters_are_several_labels():
    base = {"prompt": Q, "response_a": A, "response_b": B}
    columns = base | {"annotator1": "a", "annotator2": "b", "annotator3": None}
    assert [(e[0], e[4]) for e in judged(columns)] == [
        (A, "annotator1"),
        (B, "annotator2"),
    ]
    nested = base | {
        "annotations": [
            {"annotator": "ann", "preference": "A"},
            {"annotator": "bob", "preference": "B"},
        ]
    }
    found = labels(nested)
    assert [(p.chosen, p.extra["labeler"], p.name) for p in found] == [
        (A, "ann", "ann"),
        (B, "bob", "bob"),
    ]
