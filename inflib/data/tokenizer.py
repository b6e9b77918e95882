"""A base model to its tokenizer, configuration and folder."""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from inflib.config.recipe import ModelConfig

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
    """The base model's tokenizer, padding on the right with a token that is not EOS.

    Raises ValueError when it has no such token.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        resolve_base(model.base), **loading_options(model)
    )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        # transformers reads the reward at the last token that is not the pad token:
        # with pad == EOS that is the token before EOS, in training alone.
        candidates = (tokenizer.unk_token, tokenizer.bos_token)
        usable = [t for t in candidates if t and t != tokenizer.eos_token]
        if not usable:
            raise ValueError(
                f"{model.base}: its tokenizer has no pad token apart from EOS, and "
                "neither an unk nor a bos token to pad with: add a pad token, save it"
            )
        tokenizer.pad_token = usable[0]
    return tokenizer


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of all that decides token ids: vocabulary, rules, special tokens and chat
    template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab())
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
