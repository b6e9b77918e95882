"""Raw rows to pairs: every format, every kind of bad row."""

import json
import re

import pytest

from inflib.data.chat_rendering import renderer
from inflib.files.raw_rows import BadRow, RawRow
from inflib.shapes.pairs import Pair, to_pairs
from inflib.shapes.shape import Shape
from tests.support.shaped import TOKENIZER, assistant, source, user


def pair(columns=None, **fields):
    """The one label of a row with the columns of TRL's data."""
    roles = ("prompt", "chosen", "rejected", "pair_id")
    names = {role: (columns or {}).get(role, role) for role in roles}
    names = {
        role: name
        for role, name in names.items()
        if name in fields or role in ("chosen", "rejected")
    }
    shape, row = Shape("pairs", names), RawRow("f.jsonl", 4, fields)
    (label,) = to_pairs(row, shape, source(), renderer(TOKENIZER))
    return label


def test_explicit_prompt_as_text():
    label = pair(prompt="Why?\n", chosen="Because.", rejected="No.")
    assert (label.prompt, label.chosen, label.rejected) == ("Why?\n", "Because.", "No.")
    assert not label.is_chat


def test_implicit_prompt_as_text_is_cut_at_a_word():
    label = pair(chosen="The sky is blue", rejected="The sky is blackish")
    assert label.prompt == "The sky is "
    assert (label.chosen, label.rejected) == ("blue", "blackish")


def test_implicit_prompt_never_leaves_an_empty_response():
    label = pair(chosen="Say yes", rejected="Say yes now")
    assert (label.prompt, label.chosen, label.rejected) == ("Say ", "yes", "yes now")


def test_hh_dialogue_splits_at_the_last_shared_assistant_turn():
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Which?\n\nAssistant:"
    label = pair(chosen=start + " The red one.", rejected=start + " The blue one.")
    assert label.prompt == start
    assert (label.chosen, label.rejected) == (" The red one.", " The blue one.")


@pytest.mark.parametrize("explicit", [True, False])
def test_chat_messages_go_through_the_chat_template(explicit):
    question = [user("Why?")]
    if explicit:
        label = pair(
            prompt=question, chosen=[assistant("So.")], rejected=[assistant("No.")]
        )
    else:
        label = pair(
            chosen=[*question, assistant("So.")],
            rejected=[*question, assistant("No.")],
        )
    assert label.prompt == "<|user|>Why?</s><|assistant|>"
    assert (label.chosen, label.rejected) == ("So.</s>", "No.</s>")
    assert label.is_chat


def test_columns_are_mapped_and_the_others_kept():
    label = pair(
        {"prompt": "question", "chosen": "winner", "rejected": "loser", "pair_id": "n"},
        question="Q ",
        winner="a",
        loser="b",
        n=17,
        labeler="ana",
        helpfulness=3.5,
        tags=["x"],
    )
    assert (label.prompt, label.chosen, label.rejected) == ("Q ", "a", "b")
    assert label.pair_id == "17"
    assert label.extra == {"labeler": "ana", "helpfulness": 3.5, "tags": '["x"]'}


def test_both_orders_are_one_comparison_with_opposite_signs():
    a_chosen = pair(prompt="Q", chosen="a", rejected="b")
    b_chosen = pair(prompt="Q", chosen="b", rejected="a")
    assert a_chosen.comparison_id == b_chosen.comparison_id
    assert (a_chosen.sign, b_chosen.sign) == (1, -1)
    assert a_chosen.responses == b_chosen.responses == ("a", "b")
    other_prompt = pair(prompt="R", chosen="a", rejected="b")
    assert other_prompt.comparison_id != a_chosen.comparison_id


BAD: dict[str, dict] = {
    "no field 'rejected'": {"prompt": "Q", "chosen": "a"},
    "no field 'chosen'": {"chosen": None, "rejected": "b"},
    "no prompt in 'prompt'": {"prompt": None, "chosen": "a", "rejected": "b"},
    "empty response in 'rejected'": {
        "prompt": "Q",
        "chosen": [assistant("a")],
        "rejected": [assistant(" \n")],
    },
    "'rejected' is int, not text": {"chosen": "a", "rejected": 3},
    "'prompt' is float, not text": {"prompt": 0.5, "chosen": "a", "rejected": "b"},
    "'chosen' is int, not text": {"chosen": 5, "rejected": "b"},
    "'chosen' is not a list of": {"chosen": ["a"], "rejected": "b"},
    "identical responses": {"prompt": "Q", "chosen": "a", "rejected": "a"},
    "lone surrogate": {"chosen": "a", "rejected": "\ud800"},
    "share no": {"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"},
    "no content": {"chosen": [user("Q"), {"role": "assistant"}], "rejected": "b"},
    "holds image_url, not text": {
        "chosen": [user([{"type": "image_url"}]), assistant("a")],
        "rejected": "b",
    },
    "empty response in 'chosen'": {
        "chosen": [user("Q"), assistant("")],
        "rejected": [user("Q"), assistant("b")],
    },
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_rows_say_file_row_and_problem(problem):
    bad = pair(**BAD[problem])
    assert isinstance(bad, BadRow)
    assert (bad.file, bad.row) == ("f.jsonl", 4)
    assert re.search(re.escape(problem), bad.problem)


def test_right_to_left_and_control_characters_are_fine():
    label = pair(prompt="שלום", chosen="a\u202eb\x00", rejected="ب")
    assert isinstance(label, Pair)
    json.dumps(label.comparison_id)
