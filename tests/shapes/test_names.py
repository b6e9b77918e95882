"""Columns under the names that data sets, training tools and labelling tools give
them."""

import pytest

from tests.support.shaped import assistant, labels, problems, texts, user

Q = "What is a river? "
A, B, C = "Water.", "A hill.", "Ice."
CHAT = (f"<|user|>{Q}</s><|assistant|>", f"{A}</s>", f"{B}</s>")
SYSTEM = f"<|system|>Be short.</s>{CHAT[0]}"


@pytest.mark.parametrize(
    "row",
    [
        {"query": Q, "response": A, "rejected_response": B},
        {"instruction": Q, "output": A, "rejected_output": B},
        {"user_message": Q, "best": A, "worst": B},
        {"user_input": Q, "option_1": B, "option_2": A, "choice": "option_2"},
        {"prompt": Q, "A": B, "B": A, "winner": "B"},
        {"prompt": Q, "A": B, "B": A, "annotator_preference": "B"},
        {
            **{"prompt": Q, "response_1": B, "response_2": A},
            **{"model_1": "x", "model_2": "y", "winner": "y"},
        },
        {"prompt": Q, "model_a_response": B, "model_b_response": A, "vote": "model_b"},
        {"prompt": Q, "response_a": B, "response_b": A, "winner": A},
        {"Prompt": Q, "Response A": A, "Response B": B, "Which is better?": "A"},
        {
            "prompt": Q,
            "answer1": B,
            "answer2": A,
            "comparison": '{"selected": "right"}',
        },
        {
            "Input.prompt": Q,
            "Input.response_a": A,
            "Input.response_b": B,
            "Answer.choice": "A",
        },
        {
            "INPUT:prompt": Q,
            "INPUT:answer_a": B,
            "INPUT:answer_b": A,
            "OUTPUT:result": "b",
        },
        {
            "messages": [user("Judge these.")],
            "instruction": "Judge these.",
            "orig_instruction": Q,
            "orig_response_A": A,
            "orig_response_B": B,
            "orig_preference": "A",
        },
        {
            "params": {"prompt": Q, "response_1": B, "response_2": A},
            "response": {"preference": "Response 2"},
        },
        {
            "fields": {"prompt": Q, "response_a": A, "response_b": B},
            "responses": {"preference": [{"user_id": "u", "value": "response_a"}]},
        },
        {
            "data": {"prompt": Q, "answer1": A, "answer2": B},
            "annotations": [{"result": [{"value": {"selected": "left"}}]}],
        },
        {"prompt": Q, "response_a": A, "response_b": B, "rank_a": 1, "rank_b": 2},
        {
            "prompt": Q,
            "response_a": B,
            "response_b": A,
            "Answer.choice.A": "false",
            "Answer.choice.B": "true",
        },
        {
            "prompt": Q,
            "responses": [{"text": B, "chosen": False}, {"text": A, "chosen": True}],
        },
        {"question": Q, "answers": {"text": [B, A], "score": [1, 5]}},
    ],
)
def test_texts_under_other_names(row):
    assert texts(labels(row)) == [(Q, A, B)]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"messages": [user(Q), assistant(A)], "rejected_response": B}, CHAT[0]),
        (
            {
                "messages": [user(Q), assistant(A)],
                "rejected_messages": [user(Q), assistant(B)],
            },
            CHAT[0],
        ),
        ({"messages": [user(Q), assistant(A)], "chosen": A, "rejected": B}, CHAT[0]),
        (
            {
                "chosen_conversations": [user(Q), assistant(A)],
                "rejected_conversations": [user(Q), assistant(B)],
            },
            CHAT[0],
        ),
        (
            {
                "context_messages": [user(Q)],
                "chosen": [assistant(A)],
                "rejected": [assistant(B)],
            },
            CHAT[0],
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "Be short."}]},
                "contents": [{"role": "user", "parts": [{"text": Q}]}],
                "completions": [
                    {
                        "score": s,
                        "completion": {"role": "model", "parts": [{"text": t}]},
                    }
                    for s, t in ((0.0, B), (1.0, A))
                ],
            },
            SYSTEM,
        ),
    ],
)
def test_chats_under_other_names(row, prompt):
    assert texts(labels(row)) == [(prompt, *CHAT[1:])]


def test_several_chosen_against_several_rejected():
    row = {"prompt": Q, "chosen": [A, C], "rejected": [B, "Mud."], "id": 1}
    found = [(p.chosen, p.rejected, p.name) for p in labels(row)]
    assert found == [
        (A, B, "1>3"),
        (A, "Mud.", "1>4"),
        (C, B, "2>3"),
        (C, "Mud.", "2>4"),
    ]


@pytest.mark.parametrize("name", ["rating_chosen", "chosen-rating", "chosen_score"])
def test_the_difference_of_two_scores_is_the_strength(name):
    row = {"prompt": Q, "chosen": A, "rejected": B, name: 5}
    (label,) = labels(row | {name.replace("chosen", "rejected"): 2})
    assert label.strength == 3.0


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [("label", False, True), ("label", "False", "True"), ("is_chosen", 0, 1)],
)
def test_good_and_bad_answers_in_rows_of_their_own_make_pairs(name, bad, good):
    rows = [
        {"prompt": Q, "completion": B, name: bad},
        {"prompt": "Other?", "completion": C, name: good},
        {"prompt": Q, "completion": A, name: good},
    ]
    found = labels(*rows)
    assert texts(found[:1]) == [(Q, A, B)]
    assert problems(found) == ["the only answer to its prompt in the file"]


def test_ranks_in_rows_of_their_own_make_pairs():
    rows = [
        {"prompt": Q, "response": B, "rank": 2},
        {"prompt": Q, "response": A, "rank": 1},
    ]
    (label,) = labels(*rows)
    assert (label.chosen, label.rejected, label.strength) == (A, B, 1.0)


def test_two_columns_of_words_are_refused_with_the_option_to_set():
    row = {"prompt": Q, "response_a": A, "response_b": B}
    row |= {"helpful_choice": "A", "safe_choice": "B"}
    with pytest.raises(ValueError, match=r"set prepare.train.columns, \{verdict"):
        labels(row)
    votes = labels(row, columns={"verdict": ["helpful_choice", "safe_choice"]})
    assert [(p.chosen, p.extra["labeler"]) for p in votes] == [
        (A, "helpful_choice"),
        (B, "safe_choice"),
    ]


def test_ones_alone_do_not_say_from_where_they_count():
    row = {"prompt": Q, "response_a": A, "response_b": B, "label": 1}
    with pytest.raises(ValueError, match="1 alone"):
        labels(row)
    assert texts(labels(row, verdicts={"1": "a"})) == [(Q, A, B)]
    counted = {"prompt": Q, "response_0": B, "response_1": A, "label": 1}
    assert texts(labels(counted)) == [(Q, A, B)]


def test_names_of_systems_are_no_system_text():
    rows = [
        {"prompt": "Q", "chosen": "a", "rejected": "b", "system": name}
        for name in ("M11", "M12", "gpt-4")
    ]
    assert [label.texts.prompt for label in labels(*rows)] == ["Q"] * 3
    assert labels(*rows)[0].extra["system"] == "M11"
    said = [row | {"system": "You are brief."} for row in rows]
    assert all(
        label.texts.prompt.startswith("You are brief.") for label in labels(*said)
    )


def test_answers_in_json_are_no_messages():
    answers = (
        '[{"author": "Jane Austen", "text": "Emma"}]',
        '[{"role": "editor"}]',
        '{"speaker": "Ann", "text": "yes"}',
    )
    for answer in answers:
        (label,) = labels({"prompt": "Q", "chosen": answer, "rejected": "no"})
        assert label.chosen == answer and not label.is_chat
    chat = '[{"role": "assistant", "content": "yes"}]'
    (label,) = labels(
        {"prompt": "Q", "chosen": chat, "rejected": chat.replace("y", "n")}
    )
    assert label.chosen.strip().endswith("yes") or "content" not in label.chosen
