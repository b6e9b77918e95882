"""Texts to token ids in which a user's text stays text, though it holds "</s>".

A tokenizer takes a special token for one wherever it stands. Texts that hold one of the
user's are encoded by the tokenizer's *twin*, in which each special token has the same
id and another spelling, of characters that no text has. The special tokens that the
chat template wrote are spelt so beforehand; the user's mean nothing to the twin. The
text is encoded as a whole, by the same rules: no id changes but those of the user's
special tokens. (`split_special_tokens` of transformers does not do: it splits the
template's as well; it forgets added tokens; and a Unigram or SentencePiece model has
"</s>" among its pieces, and makes EOS of the text.)
"""

import functools
import json
import re
from typing import Any

from tokenizers import Tokenizer

from inflib.shapes.special_tokens import (
    is_guarded,
    pattern,
    special_ids,
    template_tokens,
)

NOT_AS_TEXT = "special tokens in a text, which this tokenizer cannot take for text"
"""Problem of a label whose texts encode gives no ids."""


_SPELT = re.compile("[\ufdd2\ufdd3]")


def encode(
    tokenizer: Any, texts: list[str], is_chat: list[bool], append_eos: bool = False
) -> tuple[list[list[int] | None], list[bool]]:
    """(token ids of each text, whether it holds special tokens that are kept as text).

    is_chat: whether it is a rendered chat, whose special tokens are the template's but
    for guarded ones. Other texts get what the tokenizer adds (BOS, [CLS], ...), and EOS
    with append_eos. None: special tokens of a tokenizer without a fast version.
    """
    special = pattern(tokenizer)
    eos = (tokenizer.eos_token or "") if append_eos else ""
    literal = [
        is_guarded(text) if chat else bool(special.search(text))
        for text, chat in zip(texts, is_chat, strict=True)
    ]
    encoded: list[list[int] | None] = [None for _ in texts]
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
    if any(literal) and getattr(tokenizer, "backend_tokenizer", None) is not None:
        for i, text in enumerate(texts):
            if literal[i]:
                encoded[i] = encode_as_text(tokenizer, text, is_chat[i], eos)
    return encoded, literal


def encode_as_text(tokenizer: Any, text: str, is_chat: bool, eos: str) -> list[int]:
    """Token ids of one text by the twin. eos: that ends a text that is not chat."""
    ids = special_ids(tokenizer)
    text = _SPELT.sub("", text)  # of a user who knows the twin's names
    if is_chat:
        text = template_tokens(text, ids, lambda token: _spelling(ids[token]))
    elif eos:
        text += _spelling(ids[eos])
    return _twin(tokenizer).encode(text, add_special_tokens=not is_chat).ids


def _spelling(token_id: int) -> str:
    """A special token's name in the twin, of noncharacters of Unicode."""
    return f"\ufdd2{token_id}\ufdd3"


@functools.lru_cache(maxsize=2)
def _twin(tokenizer: Any) -> Tokenizer:
    """The tokenizer with other spellings of its special tokens, and no truncation."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    names = {text: _spelling(i) for text, i in special_ids(tokenizer).items()}
    for token in rules["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = rules["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(t, t): i for t, i in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(t, t), score] for t, score in model["vocab"]]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if model.get("merges"):  # none may make a special token out of text
        model["merges"] = [
            merge
            for merge in model["merges"]
            if not names.keys() & {*_parts(merge), "".join(_parts(merge))}
        ]
    rules["truncation"] = rules["padding"] = None
    return Tokenizer.from_str(json.dumps(rules))


def _parts(merge: str | list[str]) -> list[str]:
    """The two tokens of a merge rule, in the older spelling or the newer one."""
    return merge.split(" ") if isinstance(merge, str) else merge
