"""In what a tokenizer differs from the base's, and whether it is another model's."""

import json
from typing import Any

_FOREIGN = 0.01
"""Share of the base's tokens with other ids from which on a tokenizer is of another
model: renaming some reserved tokens is usual."""


def differences(own: Any, base: Any) -> list[str]:
    """In what an adapter's tokenizer differs from its base's, by name.

    Raises ValueError where its tokens have other ids.
    """
    found = []
    vocabulary, bases = own.get_vocab(), base.get_vocab()
    moved = [token for token, i in bases.items() if vocabulary.get(token) != i]
    added = vocabulary.keys() - bases.keys()
    if len(moved) > _FOREIGN * len(bases):
        raise ValueError(
            f"its tokenizer is of another model: {len(moved)} of the base's "
            f"{len(bases)} tokens are not in it or have other ids"
        )
    if moved or added:
        found.append(f"vocabulary ({len(added)} tokens added, {len(moved)} changed)")
    elif _rules(own) != _rules(base):
        found.append("rules")
    for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
        now, before = getattr(own, role), getattr(base, role)
        if now != before:
            found.append(f"{role} {now!r} (base: {before!r})")
    if own.chat_template != base.chat_template:
        found.append("chat template")
    return found


def _rules(tokenizer: Any) -> Any:
    """Normaliser, pre-tokeniser and post-processor."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    rules = json.loads(backend.to_str())
    return [rules[name] for name in ("normalizer", "pre_tokenizer", "post_processor")]
