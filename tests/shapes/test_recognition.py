"""What the driver says where a file has no shape that is known."""

import pytest

from tests.support.shaped import labels, texts


def test_a_mapped_column_that_no_row_has_is_an_error_with_the_near_one():
    row = {"question": "Q ", "chosen": "a", "rejected": "b"}
    with pytest.raises(ValueError) as error:
        labels(row, columns={"prompt": "questoin"})
    said = str(error.value)
    assert "prepare.train.columns: no column 'questoin'" in said
    assert "did you mean 'question'?" in said and "\n" not in said
    assert texts(labels(row)) == [("Q ", "a", "b")]


def test_without_a_prompt_nothing_is_guessed():
    row = {"ask": "Q", "chosen": "Left.", "rejected": "Right."}
    with pytest.raises(ValueError) as error:
        labels(row)
    assert "no column of a prompt" in str(error.value)
    assert "Its columns: ask, chosen, rejected" in str(error.value)
    assert texts(labels(row, columns={"prompt": "ask"})) == [("Q", "Left.", "Right.")]
    assert texts(labels(row, columns={"prompt": None})) == [("", "Left.", "Right.")]


def test_unknown_columns_are_listed_with_the_option_to_set():
    with pytest.raises(ValueError) as error:
        labels({"u": "x y", "v": "y z", "w": "z x", "n": 1})
    said = "no known shape: set prepare.train.columns, such as '{prompt: u, chosen: v, "
    assert f"{said}rejected: w}}'" in str(error.value)
    assert "Its columns: u, v, w, n" in str(error.value)
    row = {"u": "x ", "v": "y", "w": "z"}
    mapped = labels(row, columns={"prompt": "u", "chosen": "v", "rejected": "w"})
    assert texts(mapped) == [("x ", "y", "z")]


def test_the_format_that_is_asked_for_is_taken():
    row = {"prompt": "Q ", "chosen": "One.", "rejected": "Two."}
    row |= {"response_a": "Two.", "response_b": "One.", "winner": "a"}
    assert texts(labels(row)) == [("Q ", "One.", "Two.")]
    assert texts(labels(row, format="winner")) == [("Q ", "Two.", "One.")]
    with pytest.raises(ValueError, match="not the shape 'ranking'"):
        labels(row, format="ranking")


def test_dots_name_fields_inside_columns():
    row = {"info": {"post": "Q "}, "data": '{"good": "a", "poor": "b"}'}
    columns = {"prompt": "info.post", "chosen": "data.good", "rejected": "data.poor"}
    assert texts(labels(row, columns=columns)) == [("Q ", "a", "b")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"response_a": "x", "response_b": "y"}, "{verdict: NAME}"),
        ({"responses": ["x", "y", "z"]}, "{rank: NAME}, {score: NAME} or {best: NAME}"),
        ({"completion": "x"}, "it takes two to compare"),
    ],
)
def test_what_is_missing_is_asked_for_and_not_a_label_of_every_first(row, said):
    with pytest.raises(ValueError) as error:
        labels({"prompt": "Q"} | row)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert "chosen: response_a" not in str(error.value)


def test_the_columns_that_a_refusal_asks_for_are_taken():
    row = {"prompt": "Q ", "response_a": "x", "response_b": "y", "who": "b"}
    assert texts(labels(row, columns={"verdict": "who"})) == [("Q ", "y", "x")]
    ranked = {"prompt": "Q ", "responses": ["x", "y"], "place": [2, 1]}
    assert texts(labels(ranked, columns={"rank": "place"})) == [("Q ", "y", "x")]
    rows = [{"prompt": "Q ", "text": t, "mark": m} for t, m in (("x", 1), ("y", 2))]
    assert texts(labels(*rows, columns={"score": "mark"})) == [("Q ", "y", "x")]
