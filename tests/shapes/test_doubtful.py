"""Rows that could be read in two ways: what they hold decides, or they are refused with
the option to set."""

import json

import pytest

from inflib.files.raw_rows import BadRow
from tests.support.shaped import assistant, labels, problems, texts, user

Q = "What is a river? "
A, B, C = "Water.", "A hill.", "Ice."
TWO = {"prompt": Q, "response_a": A, "response_b": B}
THREE = {"prompt": Q, "responses": [A, B, C]}


def refused(*rows, **options):
    """The message of a refusal: one line, with the columns there are."""
    with pytest.raises(ValueError) as error:
        labels(*rows, **options)
    said = str(error.value)
    assert "\n" not in said and "Its columns: " in said
    return said


def chosen(*rows, **options):
    return [found[1] for found in texts(labels(*rows, **options))]


def test_true_and_false_do_not_say_which_response_is_better():
    rows = [TWO | {"preference": value} for value in (True, False)]
    assert "verdicts, such as {true: a, false: b}" in refused(*rows)
    assert chosen(*rows, verdicts={"true": "a", "false": "b"}) == [A, B]
    assert chosen(*rows, verdicts={"True": "a", "False": "b"}) == [A, B]
    words = [TWO | {"preference": value} for value in ("True", "False")]
    assert "verdicts, such as {true: a, false: b}" in refused(*words)
    assert chosen(*words, verdicts={"true": "b", "false": "a"}) == [B, A]


def test_grades_without_one_below_zero_may_be_choices():
    for column in ("overall_preference", "preference_strength"):
        rows = [TWO | {column: grade} for grade in (1, 2)]
        assert "no grade below 0" in refused(*rows)
        assert chosen(*rows, TWO | {column: -3}) == [B, B, A]
        assert chosen(*rows, verdicts={"1": "a", "2": "b"}) == [A, B]


def test_two_numbers_for_two_responses_may_be_scores_or_votes():
    row = {"prompt": Q, "responses": [A, B], "labels": [1, 0]}
    assert "of two labelers or of the two responses" in refused(row)
    assert chosen(row, format="ratings", columns={"score": "labels"}) == [A]
    votes = labels(row, columns={"judgments": "labels"})
    assert [p.chosen for p in votes] == [B, A]


def test_an_order_is_not_taken_for_ranks():
    for column in ("ranking", "order"):
        for values in ([2, 0, 1], [3, 1, 2]):
            row = THREE | {column: values}
            assert "in their order" in refused(row)
            assert chosen(row, columns={"rank": column}) == [B, B, C]
    assert chosen(THREE | {"ranks": [3, 1, 2]}) == [B, B, C]
    assert chosen(THREE | {"ranking": [2, 1, 1]}, ties="keep") == [B, B, C]


def test_places_of_the_best_answer_count_from_1_where_they_must():
    last, first = THREE | {"best": 3}, THREE | {"best": 1}
    assert chosen(last, first) == [C, C, A, A]
    assert chosen(THREE | {"best": 2}, THREE | {"best": 0}) == [C, C, A, A]
    mixed = labels(last, THREE | {"best": 0})
    assert problems(mixed) == ["'best' is no place in the 3 answers, from 0"]


def test_votes_by_response_are_counted():
    (label,) = labels(TWO | {"votes": {"a": 1, "b": 3}})
    assert (label.chosen, label.target) == (B, 0.75)
    (label,) = labels(TWO | {"votes": {"response_a": 1, "response_b": 0, "tie": 2}})
    assert (label.chosen, label.target) == (A, 2 / 3)
    names = labels(TWO | {"votes": {"ann": "a", "bob": "b"}})
    assert [(p.chosen, p.extra["labeler"]) for p in names] == [(A, "ann"), (B, "bob")]


def test_messages_as_python_prints_them_are_messages():
    both = [[user(Q), assistant("It's 'ice'.\n")], [user(Q), assistant(B)]]
    as_json = labels({"chosen": json.dumps(both[0]), "rejected": json.dumps(both[1])})
    as_python = labels({"chosen": str(both[0]), "rejected": str(both[1])})
    assert texts(as_python) == texts(as_json)
    numpy = [str(turns).replace("}, {", "}\n {") for turns in both]
    (bad,) = problems(labels({"prompt": Q, "chosen": numpy[0], "rejected": numpy[1]}))
    assert bad == "'chosen' holds messages as numpy prints them, no JSON"
    code = {"prompt": Q, "chosen": "['a' 'b']", "rejected": "{'a': 1}"}
    assert texts(labels(code)) == [(Q, "['a' 'b']", "{'a': 1}")]


@pytest.mark.parametrize("text", ["{'a': 1, [2]: 3}", "['a', {{}}]", "['a', {[1]}]"])
def test_what_python_could_not_print_is_text(text):
    row = {"prompt": Q, "chosen": text, "rejected": "no"}
    assert texts(labels(row)) == [(Q, text, "no")]


def test_a_turn_that_is_null_is_no_text():
    row = {"prompt": '["Q"]', "response_a": "[null]", "response_b": '["b"]'}
    (bad,) = problems(labels(row | {"winner": "a"}))
    assert bad == "lists of turns of which one is no text"


def test_no_part_of_a_prompt_is_lost():
    row = {"context": "Long.", "question": "Why?", "chosen": A, "rejected": B}
    assert "'context' and 'question' may both be of the prompt" in refused(row)
    both = labels(row, columns={"prompt": ["context", "question"]})
    assert texts(both)[0][0] == "Long.\n\nWhy?"
    start = "<|user|>Hi.</s><|assistant|>Yes?</s><|user|>"
    row = {"instruction": "Sum up.", "input": "Long.", "chosen": A, "rejected": B}
    for history in ([["Hi.", "Yes?"]], [user("Hi."), assistant("Yes?")]):
        ((prompt, *_),) = texts(labels(row | {"history": history}))
        assert prompt == f"{start}Sum up.\n\nLong.</s><|assistant|>"
    ((prompt, *_),) = texts(labels(row | {"history": []}))
    assert prompt == "Sum up.\n\nLong."


def test_a_strength_or_a_safer_response_decides_only_where_nothing_else_does():
    graded = TWO | {"preference_strength": -2}
    assert chosen(graded) == [A]
    assert chosen(graded | {"score_a": 1, "score_b": 2}) == [B]
    ids = {"safer_response_id": 0}
    assert chosen(TWO | ids, TWO | {"safer_response_id": 1}) == [A, B]
    assert chosen(TWO | ids | {"better_response_id": 1}) == [B]


def test_chosen_and_rejected_that_point_at_two_other_columns_are_no_texts():
    models = {"model_a": "m1", "model_b": "m2"}
    for second, first in (("1", "0"), (1, 0), ("B", "A"), ("m2", "m1")):
        rows = [
            TWO | models | {"chosen": second, "rejected": first},
            TWO | models | {"chosen": first, "rejected": second},
        ]
        assert chosen(*rows) == [B, A]
    digits = {"prompt": Q, "response_a": "4", "response_b": "5"}
    assert chosen(digits | {"chosen": "5", "rejected": "4"}) == ["5"]
    lists = {"prompt": Q, "responses": [A, B], "rejected": "1"}
    assert chosen(lists | {"chosen": "0"}) == [A]


def test_raters_with_a_blank_in_their_names_are_raters():
    found = labels(TWO | {"Rater 1": "A", "Rater 2": "It's a tie"}, ties="keep")
    assert [(p.target, p.extra["labeler"]) for p in found] == [
        (1.0, "Rater 1"),
        (0.5, "Rater 2"),
    ]


def test_a_place_below_zero_has_no_usual_meaning():
    rows = [TWO | {"better_response_id": place} for place in (0, 1, -1)]
    assert "holds places and -1" in refused(*rows)
    verdicts = {"0": "a", "1": "b", "-1": "tie"}
    found = labels(*rows, verdicts=verdicts, ties="keep")
    assert [(p.chosen, p.target) for p in found] == [(A, 1.0), (B, 1.0), (A, 0.5)]


@pytest.mark.parametrize(
    "name", ["least_preferred", "dispreferred", "worse", "rejected", "not_chosen"]
)
def test_a_column_of_the_worse_response_is_not_one_of_the_better(name):
    assert "who won?" in refused(TWO | {name: "A"})


@pytest.mark.parametrize("word", ["None", "A!=B", "tie-break: B", "tier 2"])
def test_words_that_only_look_like_a_tie_are_no_verdict(word):
    row = {"prompt": "Q", "response_a": "x", "response_b": "y", "winner": "A"}
    *_, odd = labels(row, row | {"winner": "B"}, row, row | {"winner": word})
    assert isinstance(odd, BadRow) and "is not known" in odd.problem


def test_a_grade_below_zero_is_seen_though_it_is_rare():
    row = {"prompt": "Q", "response_a": "x", "response_b": "y"}
    grades = [1] * 300 + [0] * 200 + [-1] * 4
    (first, *_, last) = labels(*(row | {"preference": grade} for grade in grades))
    assert (first.chosen, last.chosen) == ("y", "x")


def test_ratings_of_several_people_are_nobodys_comparison():
    rows = [
        {"prompt": "Q", "response": "r1", "score": 3, "labeler": "ann"},
        {"prompt": "Q", "response": "r2", "score": 5, "labeler": "bob"},
        {"prompt": "P", "response": "r3", "score": 3, "labeler": "ann"},
        {"prompt": "P", "response": "r4", "score": 5, "labeler": "ann"},
    ]
    mixed, own = labels(*rows)
    assert (mixed.chosen, mixed.extra.get("labeler")) == ("r2", None)
    assert (own.chosen, own.extra["labeler"]) == ("r4", "ann")


def test_answers_and_scores_of_other_numbers_are_not_matched():
    row: dict[str, object] = {f"answer_{i}": f"answer {i}" for i in (1, 2, 3)}
    row |= {f"score_{i}": i for i in (1, 2, 3)}
    gap = {k: v for k, v in row.items() if k not in ("answer_2", "score_3")}
    rows = [{"prompt": f"Q{i}"} | row for i in range(3)]
    *_, odd = labels(*rows, {"prompt": "P"} | gap)
    assert isinstance(odd, BadRow) and "other numbers in this row" in odd.problem


def test_a_comment_before_the_choice_and_a_cancelled_annotation():
    def annotation(*values, **more):
        return {"result": [{"value": value} for value in values], **more}

    row = {
        "data": {"prompt": "Q", "answer1": "a", "answer2": "b"},
        "annotations": [
            annotation({"text": ["hm"]}, {"selected": "left"}, completed_by=1),
            annotation({"selected": "right"}, completed_by=2),
            annotation({"selected": "right"}, completed_by=3, was_cancelled=True),
        ],
    }
    found = [label for label in labels(row, row) if not isinstance(label, BadRow)]
    assert [label.chosen for label in found] == ["a", "b"] * 2


def test_weights_beyond_measure_are_bad_rows():
    row = {"prompt": "Q", "chosen": "a", "rejected": "b"}
    weights = (1e308, 1e-300, 0, 2)
    found = labels(*(row | {"sample_weight": weight} for weight in weights))
    assert [isinstance(each, BadRow) for each in found] == [True, True, False, False]


def test_one_object_with_a_senders_name_is_an_answer_in_json():
    chosen, rejected = '{"from": "bob", "text": "hi"}', '{"from": "al", "text": "yo"}'
    (label,) = labels({"prompt": "An email", "chosen": chosen, "rejected": rejected})
    assert (label.chosen, label.is_chat) == (chosen, False)


def test_one_answer_in_json_is_one_response_and_lists_in_most_rows_are_several():
    plain = {"prompt": "Two colours", "chosen": "Red, green.", "rejected": "Red."}
    answer = '["red", "blue"]'
    *_, last = labels(plain, plain | {"prompt": "P"}, plain | {"rejected": answer})
    assert (last.chosen, last.rejected) == ("Red, green.", answer)
    several = [plain | {"prompt": p, "rejected": answer} for p in "QP"]
    assert [label.rejected for label in labels(*several)] == ["red", "blue"] * 2
