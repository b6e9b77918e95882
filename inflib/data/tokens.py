"""Pairs to token ids: shared prefix, tail of response a, tail of response b.

Prompt and response are tokenised together, as they are at training and inference;
the prefix is the longest common token prefix of the two full sequences, so
prefix + tail is exactly each sequence. Pairs too long lose tokens at the left of the
prompt (after BOS or [CLS]), never of a response.
"""

from dataclasses import dataclass, replace
from typing import Any

from inflib.data.text_encoder import NOT_AS_TEXT, encode
from inflib.shapes.pairs import Pair

LITERAL = "special tokens in a text, kept as text"
"""Mark of a label with some."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of a comparison: prefix + tail_a is the sequence of response a."""

    prefix: list[int]
    tail_a: list[int]
    tail_b: list[int]
    num_cut: int
    """Tokens of the prompt that were cut off to fit max_length."""

    marks: tuple[str, ...] = ()
    """What is unusual about the texts, by name."""

    own_lengths: tuple[int, int] | None = None
    """Tokens of response a and b where tails hold more than them; None: the tails'."""

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of response a and of response b, without what both begin with."""
        return self.own_lengths or (len(self.tail_a), len(self.tail_b))

    @property
    def length(self) -> int:
        """Tokens of the longer full sequence."""
        return len(self.prefix) + max(len(self.tail_a), len(self.tail_b))

    @property
    def total(self) -> int:
        """Tokens of both full sequences."""
        return 2 * len(self.prefix) + len(self.tail_a) + len(self.tail_b)


def tokenize(
    pairs: list[Pair], tokenizer: Any, max_length: int, append_eos: bool
) -> list[Tokens | str]:
    """Tokens of each pair, or a text that says why it cannot be used.

    max_length: most tokens of a full sequence; append_eos: end text (not chat) with the
    tokenizer's EOS.
    """
    texts, prompts = [], []
    for pair in pairs:
        responses = pair.texts.chosen, pair.texts.rejected
        for response in responses if pair.sign > 0 else responses[::-1]:
            texts.append(pair.texts.prompt + response)
        prompts.append(pair.texts.prompt)
    # A chat template writes BOS and EOS itself; text gets the tokenizer's own.
    is_chat = [pair.is_chat for pair in pairs]
    doubled = [chat for chat in is_chat for _ in range(2)]
    ids, literal = encode(tokenizer, texts, doubled, append_eos)
    prompt_ids, _ = encode(tokenizer, prompts, is_chat)
    special = set(tokenizer.all_special_ids)
    pad = tokenizer.pad_token_id
    found = [
        packed(ids[2 * i], ids[2 * i + 1], prompt_ids[i], special, pad, max_length)
        for i in range(len(pairs))
    ]
    return [
        replace(tokens, marks=(LITERAL,))
        if isinstance(tokens, Tokens) and (literal[2 * i] or literal[2 * i + 1])
        else tokens
        for i, tokens in enumerate(found)
    ]


def packed(
    a: list[int] | None,
    b: list[int] | None,
    prompt: list[int] | None,
    special: set[int],
    pad: int | None,
    max_length: int,
) -> Tokens | str:
    """Tokens of a pair, or why it cannot be used, from the ids of its two sequences and
    of its prompt. special: ids of special tokens; pad: of the pad token."""
    if a is None or b is None or prompt is None:
        return NOT_AS_TEXT
    if a == b:
        return "identical responses once tokenised"
    if pad in (*a[-1:], *b[-1:]):
        return "a sequence ends with the pad token; set model.pad_token to another one"
    shared = _common(a, b)
    start = 0  # BOS or [CLS] stays in front
    while start < shared and a[start] in special:
        start += 1
    removable = max(0, min(shared, _common(prompt, a)) - start)
    cut = max(0, max(len(a), len(b)) - max_length)
    if cut > removable:
        return (
            f"responses need {max(len(a), len(b)) - removable} tokens, "
            f"more than max_length {max_length}"
        )
    prefix = a[:start] + a[start + cut : shared]
    return Tokens(prefix, a[shared:], b[shared:], cut)


def _common(a: list[int], b: list[int]) -> int:
    """Length of the longest common prefix."""
    limit = min(len(a), len(b))
    for i in range(limit):
        if a[i] != b[i]:
            return i
    return limit
