"""`model.adapter`, a folder or a name on the hub, to its files."""

import functools
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from inflib.config.reward_model import ModelConfig
from inflib.storage.folder import Folder, open_filesystem
from inflib.storage.plain_text import first_line

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

REFERENCE = "ref"
"""Folder, beside an adapter, of the one that TRL's DPOTrainer compared it with."""

HUB = "hub:"
"""Prefix of the name of an adapter on the hub; a name alone does where there is no such
folder."""

EMBEDDING = re.compile(
    r"\.(embed_tokens|wte|embed_in|word_embeddings)\.(base_layer\.)?weight$"
)
"""Name of the token embeddings, in transformers' models."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SMALL = (".json", ".jinja", ".txt", ".model")
"""Suffixes of configurations, tokenizers and chat templates."""

_TOKENIZER = "tokenizer_config.json"
"""Every tokenizer that transformers has saved has it."""

_TEMPLATES = {"chat_template.jinja", "chat_template.json"}


def adapter_at(model: ModelConfig) -> Folder | None:
    """Folder of `model.adapter`, fetched where it is on the hub; None without one.

    Raises ValueError, with what to do, for one that cannot be fetched.
    """
    if model.adapter is None:
        return None
    name = model.adapter.removeprefix(HUB)
    is_on_hub = name != model.adapter or (
        _HUB_NAME.fullmatch(name) is not None and not Path(name).exists()
    )
    if not is_on_hub:
        return Folder(model.adapter)
    return Folder(_fetched(name, model.adapter_revision))


@functools.lru_cache(maxsize=4)
def _fetched(name: str, revision: str | None) -> str:
    """Local folder of the small files and the weights of an adapter on the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = [*(f"*{suffix}" for suffix in _SMALL), WEIGHTS, f"{REFERENCE}/{WEIGHTS}"]
    try:
        return snapshot_download(name, revision=revision, allow_patterns=patterns)
    except (OSError, ValueError, HfHubHTTPError) as error:
        said = first_line(error)
        at = f" --revision {revision}" if revision else ""
        raise ValueError(
            f"model.adapter {name}: no such folder, and it cannot be fetched from the "
            f"hub ({said}): check the name, or run `hf download {name}{at}` where "
            "there is a connection"
        ) from None


def tokenizer_folder(model: ModelConfig) -> str | None:
    """Local folder with the adapter's own tokenizer; None where it has none."""
    folder = adapter_at(model)
    if folder is None or not folder.exists(_TOKENIZER):
        return None
    return _local(folder)


def own_chat_template(model: ModelConfig) -> str | None:
    """The chat template in an adapter's folder that has no tokenizer beside it."""
    folder = adapter_at(model)
    names = _TEMPLATES & folder.names() if folder is not None else set()
    if folder is None or not names:
        return None
    name = min(names)
    if name.endswith(".json"):
        return folder.read_json(name)["chat_template"]
    return folder.read_bytes(name).decode()


def saved_embedding_rows(folder: Folder) -> int:
    """Rows of the token embeddings that an adapter's folder holds, trained or resized;
    0 where it holds none."""
    for name, shape in read_shapes(folder).items():
        if EMBEDDING.search(name):
            return shape[0]
    return 0


def read_shapes(folder: Folder) -> dict[str, list[int]]:
    """{tensor: its shape} of an adapter's weights, of which only the start is read:
    8 bytes that give the length of a header in JSON. {} where there are none."""
    fs, path = open_filesystem(f"{folder.url.rstrip('/')}/{WEIGHTS}")
    if not fs.exists(path):
        return {}
    length = int.from_bytes(fs.cat_file(path, 0, 8), "little")
    try:
        header: dict[str, Any] = json.loads(fs.cat_file(path, 8, 8 + length))
        return {
            name: tensor["shape"]
            for name, tensor in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{folder.url}/{WEIGHTS}: not a safetensors file") from None


def _local(folder: Folder) -> str:
    """Path of the folder, or of a copy of its small files."""
    if folder.is_local:
        return folder.url.removeprefix("file://")
    copy = _copies(folder.url)
    return copy.name


@functools.lru_cache(maxsize=4)
def _copies(url: str) -> tempfile.TemporaryDirectory[str]:
    """A copy of the small files of a remote folder, for as long as this process."""
    folder, copy = Folder(url), tempfile.TemporaryDirectory(prefix="adapter-")
    for name in sorted(folder.names()):
        if name.endswith(_SMALL):
            Path(copy.name, name).write_bytes(folder.read_bytes(name))
    return copy
