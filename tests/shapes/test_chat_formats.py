"""Shapes of rows that hold dialogues, turns and joined texts."""

from inflib.shapes.joined_texts import JOINED
from tests.support.shaped import assistant, labels, texts, user

Q = "What is a river? "
A, B, C = "Water.", "A hill.", "Ice."


def test_openai_preference_data():
    row = {
        "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [assistant(A)],
        "non_preferred_output": [assistant(B)],
    }
    assert texts(labels(row)) == [
        (f"<|user|>{Q}</s><|assistant|>", f"{A}</s>", f"{B}</s>")
    ]


def test_a_preference_in_each_turn():
    row = {
        "turns": [
            {"prompt": "One?", "chosen": "1", "rejected": "2"},
            {"prompt": "Two?", "chosen": "2", "rejected": "3"},
        ]
    }
    first, second = texts(labels(row))
    assert first[0] == "<|user|>One?</s><|assistant|>"
    assert second[0].endswith("<|assistant|>1</s><|user|>Two?</s><|assistant|>")


def test_messages_with_parents_and_ranks():
    def message(i, parent, role, text, rank=None):
        return {
            "message_id": i,
            "parent_id": parent,
            "role": role,
            "text": text,
            "rank": rank,
        }

    rows = [
        message("r", None, "prompter", "Hi?"),
        message("b", "r", "assistant", "Worse.", 1),
        message("a", "r", "assistant", "Better.", 0),
        message("c", "a", "prompter", "More?"),
        message("lost", "gone", "assistant", "x", 0),
        message("lost2", "gone", "assistant", "y", 1),
    ]
    good, lost = labels(*rows)
    assert texts([good]) == [
        ("<|user|>Hi?</s><|assistant|>", "Better.</s>", "Worse.</s>")
    ]
    assert good.pair_id == "r:2>1" and "'gone'" in lost.problem
    tree = {
        "prompt": {
            "text": "Hi?",
            "role": "prompter",
            "replies": [
                {"text": "Better.", "role": "assistant", "rank": 0, "replies": []},
                {"text": "Worse.", "role": "assistant", "rank": 1, "replies": []},
            ],
        }
    }
    assert texts(labels(tree)) == texts([good])


def test_lists_of_texts_are_turns():
    row = {
        "prompt": '["One?", "Two?"]',
        "response_a": '["1", "2"]',
        "response_b": '["1", "3"]',
        "winner": "model_b",
    }
    ((prompt, chosen, rejected),) = texts(labels(row))
    assert prompt.endswith("1</s><|user|>Two?</s><|assistant|>")
    assert (chosen, rejected) == ("3</s>", "2</s>")


def test_texts_can_be_joined_with_a_separator_or_as_chat():
    row = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    assert labels(row)[0].texts.marks == (JOINED,)
    assert texts(labels(row, separator="\n"))[0][0] == "Why?\n"
    assert texts(labels(row, texts="chat"))[0][0] == "<|user|>Why?</s><|assistant|>"


def test_instruction_and_input_are_both_the_prompt():
    row = {"instruction": "Sum up.", "input": "Long.", "chosen": A, "rejected": B}
    assert texts(labels(row))[0][0] == "Sum up.\n\nLong."
