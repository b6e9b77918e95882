"""A model to its tokenizer, and its base to configuration and folder."""

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from inflib.config.reward_model import ModelConfig
from inflib.data.adapter_files import (
    adapter_at,
    own_chat_template,
    saved_embedding_rows,
    tokenizer_folder,
)
from inflib.data.pad_tokens import choose_pad
from inflib.storage.folder import open_filesystem
from inflib.storage.plain_text import first_line

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
    """The model's tokenizer: the adapter's own where it has one, else the base's.

    It pads on the right with a token that ends no text (see pad_tokens), and has the
    chat template of the recipe or the adapter, where they have one. Raises ValueError
    when there is no such token.
    """
    folder = tokenizer_folder(model)
    tokenizer = saved_tokenizer(model, folder)
    if template := _chat_template(model):
        tokenizer.chat_template = template
    elif folder is None:
        tokenizer.chat_template = own_chat_template(model) or tokenizer.chat_template
    elif not tokenizer.chat_template:
        tokenizer.chat_template = saved_tokenizer(model, None).chat_template
    tokenizer.pad_token, _ = choose_pad(
        tokenizer, model.pad_token, embedding_rows(model)
    )
    return tokenizer


def saved_tokenizer(model: ModelConfig, folder: str | None) -> Any:
    """The tokenizer in a folder (None: the base's) as it was saved, but padding on the
    right. Raises ValueError where there is none."""
    options = loading_options(model)
    if folder is not None:
        # The revision is the base's. Its configuration chooses the tokenizer's class.
        options |= {"revision": None, "config": load_config(model)}
    with _in_one_line(folder or model.base, "tokenizer"):
        place = folder or resolve_base(model.base)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    tokenizer.padding_side = "right"
    return tokenizer


def embedding_rows(model: ModelConfig) -> int:
    """Tokens that there are embeddings for, in the adapter where it brings its own, or
    else in the base; 0 when the base does not say."""
    folder = adapter_at(model)
    resized = 0 if folder is None else saved_embedding_rows(folder)
    config = load_config(model).get_text_config()
    return resized or getattr(config, "vocab_size", 0) or 0


def _chat_template(model: ModelConfig) -> str | None:
    """The template of `model.chat_template`. Raises ValueError for a file that is not
    there."""
    setting = model.chat_template
    if setting is None or "{" in setting:
        return setting
    fs, path = open_filesystem(setting)
    try:
        return fs.cat_file(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"model.chat_template {setting}: no template (text with {{{{ }}}}) and no "
            f"file that can be read: {error}"
        ) from None


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
    """The base model's configuration, without its weights. Raises ValueError where it
    cannot be read."""
    with _in_one_line(model.base, "configuration"):
        return AutoConfig.from_pretrained(
            resolve_base(model.base), **loading_options(model)
        )


@contextmanager
def _in_one_line(place: str, what: str) -> Iterator[None]:
    """Make errors of transformers ValueErrors of one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = first_line(error)
        prefix = f"{place}: its {what} cannot be loaded: "
        raise ValueError(said if place in said else prefix + said) from None


def loading_options(model: ModelConfig) -> dict[str, Any]:
    """Arguments of every `from_pretrained` of the base model."""
    return {
        "revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
    }
