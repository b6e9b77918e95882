"""Pairs to token ids: shared prefix, tail of response a, tail of response b.

Prompt and response are tokenised together, as they are at training and inference;
the prefix is the longest common token prefix of the two full sequences, so
prefix + tail is exactly each sequence. Pairs too long lose tokens at the left of the
prompt (after BOS or [CLS]), never of a response.
"""

from dataclasses import dataclass, replace
from typing import Any

from inflib.shapes.pairs import Pair
from inflib.shapes.special_tokens import (
    encode_guarded,
    encode_plain,
    is_guarded,
    pattern,
)

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
    ids, literal = _encode(tokenizer, texts, doubled, append_eos)
    prompt_ids, _ = _encode(tokenizer, prompts, is_chat, False)
    special = set(tokenizer.all_special_ids)
    pad = tokenizer.pad_token_id
    packed = [
        _pack(ids[2 * i], ids[2 * i + 1], prompt_ids[i], special, pad, max_length)
        for i in range(len(pairs))
    ]
    return [
        replace(tokens, marks=(LITERAL,))
        if isinstance(tokens, Tokens) and (literal[2 * i] or literal[2 * i + 1])
        else tokens
        for i, tokens in enumerate(packed)
    ]


def _pack(
    a: list[int],
    b: list[int],
    prompt: list[int],
    special: set[int],
    pad: int | None,
    max_length: int,
) -> Tokens | str:
    """Tokens of a pair, or why it cannot be used, from the ids of its two sequences and
    of its prompt. special: ids of special tokens; pad: of the pad token."""
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


def _encode(
    tokenizer: Any, texts: list[str], is_chat: list[bool], append_eos: bool
) -> tuple[list[list[int]], list[bool]]:
    """(token ids of each text, whether it holds special tokens that are kept as text).

    Special tokens are added to texts that are not chat, and with append_eos EOS.
    """
    special = pattern(tokenizer)
    eos = (tokenizer.eos_token or "") if append_eos else ""
    encoded: list[list[int]] = [[] for _ in texts]
    literal = [
        is_guarded(text) if chat else bool(special.search(text))
        for text, chat in zip(texts, is_chat, strict=True)
    ]
    for chat in (False, True):
        places = [
            i
            for i, this_chat in enumerate(is_chat)
            if this_chat == chat and not literal[i]
        ]
        if places:
            batch = tokenizer(
                [texts[i] if chat else texts[i] + eos for i in places],
                add_special_tokens=not chat,
                truncation=False,
                verbose=False,
                return_attention_mask=False,
            )["input_ids"]
            for i, ids in zip(places, batch, strict=True):
                encoded[i] = ids
    for i, text in enumerate(texts):
        if literal[i] and is_chat[i]:
            encoded[i] = encode_guarded(tokenizer, text, special)
        elif literal[i]:
            encoded[i] = encode_plain(tokenizer, text, with_special=True)
            encoded[i] += [tokenizer.eos_token_id] if eos else []
    return encoded, literal
