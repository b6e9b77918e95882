"""Was an adapter trained on the base that it is used with?

An adapter of ours has the digest of its base's weights beside it (BASE); PEFT records
the base's name or path alone. Digests decide where there is one; else the last part of
the names, which a copied folder keeps.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from inflib.config.reward_model import ModelConfig
from inflib.data.adapter_files import CONFIG
from inflib.data.tokenizer import resolve_base
from inflib.storage.folder import Folder

BASE = "base_model.json"
"""File beside an adapter: its base's name and weights_sha256."""

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SAMPLE = 2**20
"""Bytes at the start, in the middle and at the end of a file that are hashed."""

_SNAPSHOT = re.compile(r"models--(.+?)--(.+?)/snapshots/\w+/?$")
"""Path of a model in the cache of the Hugging Face hub."""


def describe_base(model: ModelConfig) -> dict[str, Any]:
    """{"base", "weights_sha256"} to write beside an adapter that is trained on it."""
    return {"base": model.base, "weights_sha256": weights_digest(model)}


def weights_digest(model: ModelConfig) -> str | None:
    """SHA-256 of the weights of the base: of each file its size and some of its bytes.
    None where the base is not on this machine."""
    folder = _local_base(model)
    files: list[Path] = []
    for pattern in _WEIGHTS:
        files = files or sorted(folder.glob(pattern) if folder else ())
    if not files:
        return None
    total = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name} {size}\n".encode())
        with open(path, "rb") as file:
            for start in (0, max(0, size // 2), max(0, size - _SAMPLE)):
                file.seek(start)
                total.update(file.read(_SAMPLE))
    return total.hexdigest()


def base_mismatch(model: ModelConfig, adapter: Folder) -> str | None:
    """What the adapter records of a base other than `model.base`, in one line; None
    where it is the same, or the adapter records none."""
    if adapter.exists(BASE):
        recorded = adapter.read_json(BASE)
        digest = weights_digest(model)
        if recorded.get("weights_sha256") and digest:
            if recorded["weights_sha256"] == digest:
                return None
            return f"{recorded['base']}, whose weights are not those of {model.base}"
    fields = adapter.read_json(CONFIG)
    name, revision = fields.get("base_model_name_or_path"), fields.get("revision")
    if not name:
        return None
    if not {*_last_parts(name)} & {*_names(model)}:
        return f"{name}, not {model.base}"
    if revision and _local_folder(model) is None and revision != model.revision:
        return f"{name} at revision {revision}, not {model.revision or 'the newest'}"
    return None


def _names(model: ModelConfig) -> list[str]:
    """What the base may be called: the last part of its own name, and of the name under
    which its folder was downloaded or copied."""
    names = _last_parts(resolve_base(model.base))
    folder = _local_folder(model)
    if folder and (folder / "config.json").exists():
        config = json.loads((folder / "config.json").read_text())
        names += _last_parts(config.get("_name_or_path") or "")
    return names


def _last_parts(name: str) -> list[str]:
    """The last part of a name or path, in lower case."""
    snapshot = _SNAPSHOT.search(name)
    last = snapshot[2] if snapshot else name.rstrip("/").rpartition("/")[2]
    return [last.lower()] if last else []


def _local_folder(model: ModelConfig) -> Path | None:
    folder = Path(resolve_base(model.base))
    return folder if folder.is_dir() else None


def _local_base(model: ModelConfig) -> Path | None:
    """Folder of the base, or of its copy in the hub's cache."""
    if folder := _local_folder(model):
        return folder
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model.base, "config.json", revision=model.revision)
    return Path(config).parent if isinstance(config, str) else None
