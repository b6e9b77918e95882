"""Which token a tokenizer pads with.

transformers reads a reward at the last token that is not the pad token: where that is
EOS, at the token before EOS, in training alone. So the pad token must be one that ends
no text. It must also have an embedding: adding one would mean other weights than the
base's. (TRL's reward trainer pads with EOS where there is no pad token; that is not
followed.)
"""

import re
from typing import Any

_NAMED = re.compile(r"\W*(fine-?tune_right_)?pad(ding)?(_id|_token)?\W*", re.IGNORECASE)
"""Pad tokens by their names: <pad>, [PAD], <|padding|>, <|finetune_right_pad_id|>."""

_RESERVED = re.compile(r"\W*(reserved|unused|extra_id)\w*\W*", re.IGNORECASE)
_NUL_BYTE = ("\u0100", "<0x00>")
"""How tokenizers of bytes spell byte 0, which no text ends with."""


def choose_pad(tokenizer: Any, wanted: str | None, rows: int) -> tuple[str, str]:
    """(pad token, why it is not the tokenizer's own; empty where it is).

    wanted: `model.pad_token`; rows: of the embedding matrix, 0 where not known. Raises
    ValueError where a wanted token cannot be used, or there is none.
    """
    vocabulary, eos = tokenizer.get_vocab(), tokenizer.eos_token

    def unusable(token: str | None) -> str:
        if token is None:
            return "there is none"
        if token not in vocabulary:
            return f"{token!r} is not in the vocabulary"
        if token == eos:
            return f"{token!r} is EOS, and the reward would be read before EOS"
        if rows and vocabulary[token] >= rows:
            return f"{token!r} has no embedding: the base has {rows}"
        return ""

    if wanted is not None:
        if problem := unusable(wanted):
            raise ValueError(
                f"model.pad_token: {problem}; choose one of the tokenizer's tokens "
                "that ends no text"
            )
        return wanted, ""
    own = tokenizer.pad_token
    problem = unusable(own)
    if own is not None and not problem:
        return own, ""
    for token in _candidates(tokenizer, vocabulary):
        if token is not None and not unusable(token):
            why = f"pad token {token!r} in place of the tokenizer's own: {problem}"
            return token, why
    raise ValueError(
        f"no token to pad with ({problem}): name one that ends no text in "
        "model.pad_token"
    )


def _candidates(tokenizer: Any, vocabulary: dict[str, int]) -> list[str | None]:
    """Tokens that end no text, in the order in which they are tried."""
    ordered = sorted(vocabulary, key=vocabulary.__getitem__)
    nul = [
        token
        for token in _NUL_BYTE
        if token in vocabulary and tokenizer.decode([vocabulary[token]]) == "\0"
    ]
    return [
        tokenizer.unk_token,
        tokenizer.bos_token,
        *filter(_NAMED.fullmatch, ordered),
        *filter(_RESERVED.fullmatch, ordered),
        *nul,
    ]
