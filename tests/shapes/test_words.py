"""Words for the winner of two responses."""

import pytest

from inflib.shapes import cells
from inflib.shapes.words import side_of_word
from tests.support.shaped import labels

LETTERS, NUMBERS = ("response_a", "response_b"), ("Answer 1", "Answer 2")
COUNTED = ("response_0", "response_1")


@pytest.mark.parametrize(
    ("word", "side"),
    [
        ("A", "a"),
        ("[[B]]", "b"),
        ("model_a", "a"),
        ("Response B", "b"),
        ("Option A", "a"),
        ("left", "a"),
        ("the second one", "b"),
        ("A is slightly better", "a"),
        ("Response B is much better than Response A", "b"),
        ("I strongly prefer A", "a"),
        ("A is a bit better", "a"),
        ("A>>B", "a"),
        ("Model A < Model B", "b"),
        ("B > A", "b"),
        (">", "a"),
        ("<", "b"),
        ("A = B", "tie"),
        ("≈", "tie"),
        ("tie (bothbad)", "tie"),
        ("both_bad", "tie"),
        ("Both are good", "tie"),
        ("They are about the same", "tie"),
        ("A and B are equally good", "tie"),
        ("Neither response is better", "tie"),
        ("Neutral", "tie"),
        ("1 - A is much better", "a"),
        ("5. Response B", "b"),
        ("3 (About the same)", "tie"),
    ],
)
def test_words_for_a_side(word, side):
    assert side_of_word(word, LETTERS) == side


@pytest.mark.parametrize(
    "word",
    [
        "model_a (tie)",
        "A is worse",
        "A is not better",
        "B loses",
        "A > B > C",
        "A > A",
        "response_1",
        "80%",
        "1",
        "true",
        "They have the same colour as the sea",
        "alpha",
        "",
    ],
)
def test_words_that_are_not_understood_whole(word):
    assert side_of_word(word, LETTERS) is None


def test_numbers_in_words_are_those_of_the_columns():
    assert side_of_word("Response 1 is better", NUMBERS) == "a"
    assert side_of_word("answer_2", NUMBERS) == "b"
    assert side_of_word("Response 2 > Response 1", NUMBERS) == "b"
    assert side_of_word("response_1", COUNTED) == "b"
    assert side_of_word("Response 1 is better", COUNTED) == "b"
    assert side_of_word("Answer 1", COUNTED) is None
    assert side_of_word("Answer 2", COUNTED) is None
    assert side_of_word("1", NUMBERS) is None


@pytest.mark.parametrize(
    ("cell", "share"),
    [("70%", 0.7), ("7/10", 0.7), ("9 of 10", 0.9), ("0.7", 0.7), ("12/10", None)],
)
def test_shares_are_probabilities_however_they_are_written(cell, share):
    assert cells.share(cell) == share


def test_percentages_are_targets():
    row = {"prompt": "Q", "response_a": "a", "response_b": "b", "preference": "20%"}
    (label, other) = labels(row, row | {"prompt": "P", "preference": "70%"})
    assert (label.chosen, label.target, other.chosen, other.target) == (
        ("b", 0.8, "a", 0.7)
    )
