"""The model settings to tokenizer, configuration and folder of the base model."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from inflib.config.recipe import ModelConfig
from inflib.data.adapter_source import (
    TEMPLATE_FILE,
    adapter_source,
    adapter_tokenizer,
    tokenizer_files,
)

PACKAGE = "package:"
"""Prefix of a base model that an installed Python package ships."""


def resolve_base(base: str) -> str:
    """Folder or hub name of the base model, for `from_pretrained`.

    package:NAME/FOLDER becomes a path. Raises ValueError when the package is not
    installed.
    """
    if not base.startswith(PACKAGE):
        return base
    package, _, inside = base.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"model.base {base}: no Python package {package} is installed: check its "
            "spelling, or install the one that ships the weights"
        )
    folder = Path(spec.submodule_search_locations[0]) / inside
    if not folder.is_dir():
        raise ValueError(f"model.base {base}: {package} has no folder {inside}")
    return str(folder)


def load_tokenizer(model: ModelConfig) -> Any:
    """The tokenizer, padding on the right with a token that is not EOS.

    An adapter's own one, if its folder holds one, as at its training; otherwise the
    base model's. model.chat_template and model.pad_token come before theirs. Raises
    ValueError where it is not the base model's, or a setting is wrong.
    """
    folder = adapter_source(model)
    own = None if folder is None else adapter_tokenizer(folder)
    tokenizer = _load_own(own, model) if own else _load_base(model)
    if own is None and folder is not None and folder.exists(TEMPLATE_FILE):
        tokenizer.chat_template = folder.read_bytes(TEMPLATE_FILE).decode()
    elif own is not None and tokenizer.chat_template is None:
        tokenizer.chat_template = _load_base(model).chat_template
    if model.chat_template is not None:
        tokenizer.chat_template = _template(model.chat_template)
    tokenizer.padding_side = "right"
    set_pad_token(tokenizer, model)
    _check_size(tokenizer, model)
    return tokenizer


def _load_base(model: ModelConfig) -> Any:
    return AutoTokenizer.from_pretrained(
        resolve_base(model.base), **loading_options(model)
    )


def _load_own(folder: str, model: ModelConfig) -> Any:
    return AutoTokenizer.from_pretrained(
        folder, trust_remote_code=model.trust_remote_code
    )


def tokenizer_notes(model: ModelConfig) -> list[str]:
    """What is worth saying of the tokenizer, a line each."""
    tokenizer, notes = load_tokenizer(model), []
    folder = adapter_source(model)
    if folder is not None and tokenizer_files(folder):
        base = _load_base(model)
        set_pad_token(base, model)
        differ = [
            what
            for what, read in _PARTS.items()
            if read(base) != read(tokenizer)
            and not (what == _TEMPLATE and model.chat_template)
        ]
        if differ:
            notes.append(
                "the adapter's own tokenizer is used; not as in "
                f"{model.base}: {' and '.join(differ)}"
            )
    given = model.pad_token or (tokenizer.init_kwargs or {}).get("pad_token")
    if str(given) != tokenizer.pad_token:
        notes.append(
            f"no pad token apart from EOS: padding with {tokenizer.pad_token!r} "
            "(model.pad_token changes it)"
        )
    return notes


_TEMPLATE = "chat template"
_PARTS: dict[str, Callable[[Any], Any]] = {
    "vocabulary": lambda tokenizer: tokenizer.get_vocab(),
    "special tokens": lambda tokenizer: tokenizer.special_tokens_map,
    _TEMPLATE: lambda tokenizer: tokenizer.chat_template,
}
"""What tokenizers are compared by."""

_PADS = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
"""Pad tokens that vocabularies hold without naming them."""


def set_pad_token(tokenizer: Any, model: ModelConfig) -> None:
    """Give the tokenizer a pad token that is not EOS.

    transformers reads the reward at the last token that is not the pad token: with
    pad == EOS that is the token before EOS, in training alone. So: model.pad_token, the
    tokenizer's own, unk or bos, a known pad token in the vocabulary, or else its last
    ordinary token: any that no sequence ends with is right (data.tokens checks it).
    Raises ValueError for a model.pad_token that is EOS or not in the vocabulary.
    """
    vocabulary, eos = tokenizer.get_vocab(), tokenizer.eos_token
    if model.pad_token is not None:
        if model.pad_token not in vocabulary or model.pad_token == eos:
            raise ValueError(
                f"model.pad_token {model.pad_token!r}: it must be a token of the "
                f"vocabulary other than EOS ({eos!r})"
            )
        tokenizer.pad_token = model.pad_token
        return
    candidates = [tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token]
    candidates += [token for token in _PADS if token in vocabulary]
    special = set(tokenizer.all_special_tokens)
    ordinary = max(
        (token for token in vocabulary if token not in special), key=vocabulary.get
    )
    usable = [token for token in [*candidates, ordinary] if token and token != eos]
    if tokenizer.pad_token != usable[0]:
        tokenizer.pad_token = usable[0]


def _template(setting: str) -> str:
    """A chat template: the text itself, or that in a file."""
    if "{" in setting:
        return setting
    path = Path(setting)
    if not path.is_file():
        raise ValueError(f"model.chat_template {setting}: no such file")
    return path.read_text("utf-8-sig")


def _check_size(tokenizer: Any, model: ModelConfig) -> None:
    """Raise ValueError for token ids that the base model has no embedding for."""
    size = getattr(load_config(model).get_text_config(), "vocab_size", None)
    largest = max(tokenizer.get_vocab().values())
    if size is not None and largest >= size:
        raise ValueError(
            f"model.base {model.base}: its tokenizer has ids up to {largest}, and the "
            f"model embeddings of {size}: the tokenizer is of another model, or the "
            "embeddings were resized and not saved"
        )


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of all that decides token ids: vocabulary, rules, special tokens and chat
    template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = sorted(tokenizer.get_vocab())
    else:  # what the last call asked for is saved, too, but decides no ids
        rules = json.loads(backend.to_str()) | {"padding": None, "truncation": None}
    contents = [rules, sorted(tokenizer.all_special_ids), tokenizer.chat_template]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def max_positions(model: ModelConfig) -> int:
    """Most tokens that the base model has positions for; 0 when it does not say."""
    text_config = load_config(model).get_text_config()
    return getattr(text_config, "max_position_embeddings", 0) or 0


def load_config(model: ModelConfig) -> PretrainedConfig:
    """The base model's configuration, without its weights."""
    return AutoConfig.from_pretrained(
        resolve_base(model.base), **loading_options(model)
    )


def loading_options(model: ModelConfig) -> dict[str, Any]:
    """Arguments of every `from_pretrained` of the base model."""
    return {
        "revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
    }
