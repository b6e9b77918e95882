"""Token ids of rows in TRL's formats: those that TRL's reward trainer makes of them."""

from typing import Any

import datasets
import pytest
from trl import RewardConfig, RewardTrainer

from inflib.data.tokens import tokenize
from tests.support.models import build_model, build_tokenizer
from tests.support.shaped import assistant, labels, user

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
Q, A, B = "How do I boil an egg?", "Boil it for eight minutes.", "Eggs are nice."
CHAT: dict[str, Any] = {
    "prompt": [user(Q)],
    "chosen": [assistant(A)],
    "rejected": [assistant(B)],
}
WHOLE: dict[str, Any] = {
    "chosen": [user(Q), assistant(A)],
    "rejected": [user(Q), assistant(B)],
}
LONGER = {
    "chosen": [user(Q), assistant(A), user("More?"), assistant(B)],
    "rejected": [user(Q), assistant(B)],
}
ROWS: dict[str, Any] = {
    "text": {"prompt": Q + " ", "chosen": A, "rejected": B},
    "text without a prompt": {"chosen": f"{Q} {A}", "rejected": f"{Q} {B}"},
    "chat": CHAT,
    "whole chats": WHOLE,
    "more turns": LONGER,
    "prefill": CHAT | {"prompt": [user(Q), assistant("Sure: ")]},
    "system": CHAT | {"prompt": [{"role": "system", "content": "Short."}, user(Q)]},
    "tools": CHAT | {"tools": TOOLS},
    "arguments": CHAT | {"chat_template_kwargs": {"enable_thinking": False}},
    "one goes on": {
        "chosen": WHOLE["chosen"],
        "rejected": [*WHOLE["chosen"], user("?"), assistant(B)],
    },
}
TEMPLATE = (
    "{% if tools %}<|system|>{{ tools[0].function.name }}</s>{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<|off|>{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def by_trl(row, tokenizer, folder):
    trainer = RewardTrainer(
        model=build_model("llama"),
        args=RewardConfig(
            output_dir=str(folder), max_length=None, report_to="none", use_cpu=True
        ),
        train_dataset=datasets.Dataset.from_list([row]),
        processing_class=tokenizer,
    )
    ids = trainer.train_dataset[0]
    return ids["chosen_ids"], ids["rejected_ids"]


@pytest.mark.parametrize("name", ROWS)
def test_ids_are_those_of_trl(name, tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = TEMPLATE
    row = ROWS[name]
    (label,) = labels(row, tokenizer=tokenizer)
    tokens: Any
    (tokens,) = tokenize([label], tokenizer, 1000, append_eos=True)
    tails = tokens.tail_a, tokens.tail_b
    chosen, rejected = tails if label.sign > 0 else tails[::-1]
    expected = by_trl(row, tokenizer, tmp_path)
    assert (tokens.prefix + chosen, tokens.prefix + rejected) == expected
