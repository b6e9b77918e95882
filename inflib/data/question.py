"""A generative reward model's question, which of two responses is better, asked in both
orders.

A comparison's two sequences are the question with response a first, and with response b
first. Its margin is the mean over both orders of the log-odds that a is the better one:
a model that prefers what stands first gains nothing by it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inflib.config.reward_model import ModelConfig
from inflib.data.text_encoder import encode
from inflib.data.tokens import Tokens, packed
from inflib.shapes.pairs import Pair
from inflib.shapes.split import Render
from inflib.storage.plain_text import first_line


def answer_ids(answers: Sequence[str], tokenizer: Any) -> tuple[int, int]:
    """Token ids of the two answers. Raises ValueError where one is not one token, or
    both are the same."""
    found = tokenizer(list(answers), add_special_tokens=False)["input_ids"]
    for answer, ids in zip(answers, found, strict=True):
        if len(ids) != 1:
            raise ValueError(
                f"model.answers: {answer!r} is {len(ids)} tokens of this "
                "tokenizer: take answers of one token each"
            )
    if found[0] == found[1]:
        raise ValueError("model.answers: both are the same token")
    return found[0][0], found[1][0]


class Question:
    """The recipe's question, with the tokenizer of its model."""

    def __init__(self, model: ModelConfig, tokenizer: Any, render: Render) -> None:
        """render: the tokenizer's chat template, see chat_rendering. Raises ValueError
        for a template that is none, or answers that are not one token each."""
        self._answers = model.answers
        self._answer_ids = answer_ids(model.answers, tokenizer)
        self._tokenizer, self._render = tokenizer, render
        environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
        try:
            self._template = environment.from_string(model.question)
            self._text("prompt", "first", "second")
        except jinja2.TemplateError as error:
            raise ValueError(f"model.question: {first_line(error)}") from None

    def tokenize(self, pairs: list[Pair], max_length: int) -> list[Tokens | str]:
        """Tokens of each pair's two questions, or why it cannot be used. A question is
        not cut. Raises ValueError where answers after it are other tokens than by
        themselves."""
        texts = [text for pair in pairs for text in self._texts(pair)]
        ids, _ = encode(self._tokenizer, texts, [self._is_chat] * len(texts))
        if texts:
            self._check(texts[0], ids[0])
        responses = [response for pair in pairs for response in pair.responses]
        alone = self._tokenizer(responses, add_special_tokens=False)["input_ids"]
        pad = self._tokenizer.pad_token_id
        found = []
        for i in range(0, len(texts), 2):
            tokens = packed(ids[i], ids[i + 1], [], set(), pad, max_length)
            if isinstance(tokens, Tokens):
                own = len(alone[i]), len(alone[i + 1])
                tokens = replace(tokens, own_lengths=own)
            found.append(tokens)
        return found

    @property
    def _is_chat(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def _texts(self, pair: Pair) -> tuple[str, str]:
        prompt, (a, b) = pair.prompt, pair.responses
        if pair.messages is not None:
            kept = json.loads(pair.messages)
            prompt, a, b = (_transcript(kept[name]) for name in ("prompt", "a", "b"))
        return self._text(prompt, a, b), self._text(prompt, b, a)

    def _text(self, prompt: str, first: str, second: str) -> str:
        text = self._template.render(prompt=prompt, first=first, second=second)
        if not self._is_chat:
            return text
        message = {"role": "user", "content": text}
        return self._render([message], True)

    def _check(self, text: str, ids: list[int] | None) -> None:
        """Raise ValueError where an answer after the question is another token than by
        itself."""
        for answer, token in zip(self._answers, self._answer_ids, strict=True):
            (found,), _ = encode(self._tokenizer, [text + answer], [self._is_chat])
            if ids is not None and found != [*ids, token]:
                raise ValueError(
                    f"model.answers: after the question, {answer!r} is not the token "
                    "that it is by itself: write it with the space that precedes it, "
                    "or end model.question in another way"
                )


def _transcript(messages: list[dict[str, Any]]) -> str:
    """Messages as text; the content alone of a single one that answers."""
    if len(messages) == 1 and messages[0].get("role") == "assistant":
        return str(messages[0].get("content") or "")
    return "\n".join(
        f"{message.get('role')}: {message.get('content') or ''}" for message in messages
    )
