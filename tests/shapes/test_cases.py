"""Every file of tests/cases gives what its shape means (docs/formats.md)."""

import pytest

from inflib.files.raw_rows import BadRow
from tests.support.models import build_tokenizer
from tests.support.shaped import case, problems, texts

EGG = "How do I boil an egg?"
GOOD, POOR = "Put it in boiling water for eight minutes.", "Eggs are nice."
CHAT = (f"<|user|>{EGG}</s><|assistant|>", f"{GOOD}</s>", f"{POOR}</s>")
TEXT = (f"{EGG} ", GOOD, POOR)


def first(name, **options):
    """The texts of a case's first label; all its rows are good."""
    _, items = case(name, **options)
    assert len(items) == 4, items
    return texts(items)[0]


@pytest.mark.parametrize(
    "name",
    [
        "uf_binarized.jsonl",
        "messages_alias.jsonl",
        "messages_as_json_text.jsonl",
        "content_parts.jsonl",
        "prompt_text_answers_list.jsonl",
        "sharegpt.jsonl",
        "tools_column.jsonl",
    ],
)
def test_chats_in_each_spelling_are_one_chat(name):
    assert first(name) == CHAT


@pytest.mark.parametrize(
    "name",
    [
        "array.json",
        "pretty_objects.jsonl",
        "trailing_commas.jsonl",
        "good.jsonl.zst",
        "good.jsonl.zip",
        "tabs.tsv",
        "utf16.jsonl",
        "not_gzip.jsonl.gz",
        "pandas_index.csv",
        "trailing_empty_column.csv",
        "uint64.jsonl",
        "long_dialogue.csv.gz",
        "arrow_types.parquet",
        "date_ids.jsonl",
        "same_pair_id.jsonl",
    ],
)
def test_texts_in_each_file_are_the_same_texts(name):
    chosen_first = (TEXT[0], TEXT[2], TEXT[1]) if name.startswith("same") else TEXT
    assert first(name) == chosen_first


def test_scores_of_ultrafeedback_are_kept_with_their_difference():
    _, items = case("uf_binarized.jsonl")
    extra = items[0].extra
    assert (extra["score_chosen"], extra["score_rejected"]) == (8.0, 5.5)
    assert extra["strength"] == 2.5


def test_system_text_goes_before_the_prompt_or_into_a_system_turn():
    joined = f"Be short.\n\n{EGG}"
    assert first("system_column.jsonl")[0] == joined
    assert first("orca_dpo.jsonl")[0] == joined
    chat = f"<|system|>Be short.</s>{CHAT[0]}"
    assert first("system_column.jsonl", texts="chat")[0] == chat
    assert first("system_role.jsonl")[0] == chat


def test_a_template_without_system_turns_takes_them_folded():
    tokenizer = build_tokenizer()
    refusal = "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    loop = "{% for m in messages %}"
    template = tokenizer.chat_template
    tokenizer.chat_template = template.replace(loop, loop + refusal)
    assert tokenizer.chat_template != template
    _, refused = case("system_role.jsonl", tokenizer)
    assert "system_turns fold" in problems(refused)[0] and len(problems(refused)) == 4
    _, folded = case("system_role.jsonl", tokenizer, system_turns="fold")
    assert texts(folded)[0] == (f"<|user|>Be short.\n\n{CHAT[0][8:]}", *CHAT[1:])


def test_a_prefill_is_another_turn_or_continued():
    prompt, *responses = first("prefill.jsonl")
    assert prompt == f"{CHAT[0]}Sure: </s><|assistant|>"
    assert responses == [*CHAT[1:]]
    prompt, *responses = first("prefill.jsonl", prefill="continue")
    assert (prompt, responses) == (f"{CHAT[0]}Sure: ", [*CHAT[1:]])
    _, items = case("prefill.jsonl")
    assert items[0].texts.marks == ("prompts that end in an assistant turn",)


def test_tools_and_arguments_reach_the_template():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% if tools %}<|system|>{{ tools[0].function.name }}</s>{% endif %}"
        "{% if enable_thinking is defined and not enable_thinking %}<s>{% endif %}"
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments.city }}{% endfor %}"
        "<|{{ m.role }}|>{{ m.content or '' }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    _, tools = case("tools_column.jsonl", tokenizer)
    assert texts(tools)[0][0] == f"<|system|>weather</s>{CHAT[0]}"
    _, think = case("think.jsonl", tokenizer)
    assert texts(think)[0][0] == f"<s>{CHAT[0]}"
    _, calls = case("tool_calls.jsonl", tokenizer)
    assert "weatherUlm<|assistant|></s><|tool|>rain</s>" in texts(calls)[0][0]
    assert calls[0].texts.marks == ()
    _, ignored = case("tools_column.jsonl")
    assert ignored[0].texts.marks == ("tools that the chat template leaves out",)


def test_a_dialogue_that_goes_on_parts_at_the_last_answer_of_both():
    prompt, chosen, rejected = first("one_extends_the_other.jsonl")
    assert (prompt, chosen) == CHAT[:2]
    assert rejected == f"{CHAT[1]}<|user|>Are you sure?</s><|assistant|>No.</s>"


def test_pair_ids_that_labelers_share_are_kept():
    _, items = case("same_pair_id.jsonl")
    assert [(p.pair_id, p.extra["labeler"]) for p in items] == [
        ("pair-0", f"l{i}") for i in range(4)
    ]


def test_verdict_columns():
    said, items = case("shp.jsonl")
    assert "1: the first response is better, 0: the second" in said
    assert [p.chosen for p in items][:2] == [POOR, "Seven is a prime number."]
    said, items = case("summarize.jsonl")
    assert "0: the first response is better, 1: the second" in said
    assert [p.chosen for p in items][:2] == [GOOD, "Nine is a prime number."]
    assert [p.extra["labeler"] for p in items][:2] == ["w0", "w1"]
    said, items = case("helpsteer3.jsonl")
    assert "below 0: the first response is better" in said
    assert [i.problem if isinstance(i, BadRow) else i.strength for i in items][:3] == [
        3.0,
        1.0,
        "tie",
    ]


def test_ranked_answers():
    said, items = case("nectar.jsonl")
    assert said.startswith("ranked answers") and "3 answers make 3 comp" in said
    assert len(texts(items)) == 12


def test_dpo_names():
    assert first("dpo_names.jsonl") == (EGG, GOOD, POOR)


def test_odd_dialogues_of_hh_are_named():
    _, items = case("hh_odd.jsonl")
    assert [item.row for item in items] == [1, 2, 3, 4, 5, 6, 7]
    assert problems(items) == [
        "empty response in 'rejected'",
        "the dialogues share no '\\n\\nAssistant:' turn",
    ]
    marks = {item.row: item.texts.marks for item in items if item.row not in (1, 6)}
    assert marks == {
        2: ("dialogues that part before the last answer",),
        3: ("dialogues with two turns of one side in a row",),
        4: ("dialogues that end with a human turn",),
        5: ("dialogues with quoted turn marks",),
        7: ("dialogues without leading newlines",),
    }


def test_other_encodings_are_bad_rows_or_an_option():
    _, items = case("cp1252.csv")
    assert len(problems(items)) == 4
    _, items = case("cp1252.csv", encoding="cp1252")
    assert texts(items)[0][1].startswith("Déjà vu")


def test_backslashes_before_quotes():
    _, items = case("spark_escaped.csv")
    assert texts(items)[0][1] == f'She said "{GOOD}", then left.'


def test_ids_are_text():
    _, items = case("date_ids.jsonl")
    assert [p.pair_id for p in items][1] == "0" * 23 + "1"
    _, items = case("uint64.jsonl")
    assert items[0].extra["message_id"] == str(2**64 - 1)


def test_types_of_arrow_are_kept_as_text():
    _, items = case("arrow_types.parquet")
    assert items[0].extra["hash"] == str(2**64 - 1)
    assert items[0].extra["cost"] == "1.00"
    assert items[0].extra["created_at"].startswith("2024-01-01")
