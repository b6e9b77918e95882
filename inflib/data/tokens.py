"""Pairs to token ids: shared prefix, tail of response a, tail of response b.

Prompt and response are tokenised together, as they are at training and inference;
the prefix is the longest common token prefix of the two full sequences, so
prefix + tail is exactly each sequence. Pairs too long lose tokens at the left of the
prompt (after BOS or [CLS]), never of a response.
"""

from dataclasses import dataclass
from typing import Any

from inflib.data.pairs import Pair


@dataclass(frozen=True)
class Tokens:
    """Token ids of a comparison, in canonical order."""

    prefix: list[int]
    tail_a: list[int]
    tail_b: list[int]
    num_cut: int
    """Prompt tokens dropped to fit max_length."""

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
    """Tokens of each pair, or the reason why it cannot be used."""
    eos = (tokenizer.eos_token or "") if append_eos else ""
    full, prompts = [], []
    for pair in pairs:
        for response in pair.responses:
            text = pair.prompt + response
            ends = pair.is_chat or text.endswith(eos)
            full.append(text if ends else text + eos)
        prompts.append(pair.prompt)
    # A chat template writes BOS itself; text gets the tokenizer's own specials.
    ids = _encode(tokenizer, full, [p.is_chat for p in pairs for _ in range(2)])
    prompt_ids = _encode(tokenizer, prompts, [p.is_chat for p in pairs])
    special = set(tokenizer.all_special_ids)
    return [
        _pack(ids[2 * i], ids[2 * i + 1], prompt_ids[i], special, max_length)
        for i in range(len(pairs))
    ]


def _pack(
    a: list[int], b: list[int], prompt: list[int], special: set[int], max_length: int
) -> Tokens | str:
    if a == b:
        return "identical responses once tokenised"
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
    limit = min(len(a), len(b))
    for i in range(limit):
        if a[i] != b[i]:
            return i
    return limit


def _encode(tokenizer: Any, texts: list[str], is_chat: list[bool]) -> list[list[int]]:
    encoded: list[list[int]] = [[] for _ in texts]
    for chat in (False, True):
        where = [i for i, c in enumerate(is_chat) if c == chat]
        if where:
            out = tokenizer(
                [texts[i] for i in where],
                add_special_tokens=not chat,
                truncation=False,
                verbose=False,
                return_attention_mask=False,
            )["input_ids"]
            for i, ids in zip(where, out, strict=True):
                encoded[i] = ids
    return encoded
