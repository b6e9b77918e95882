"""Does an adapter fit its base model and tokenizer? Asked before all else."""

import json
from pathlib import Path

from inflib.config.recipe import ModelConfig
from inflib.data.adapter_source import adapter_source
from inflib.data.tokenizer import PACKAGE, resolve_base, tokenizer_notes
from inflib.model.adapter import CONFIG, read_adapter
from inflib.model.reward import digest_folder
from inflib.storage.folder import Folder

BASE_RECORD = "base_model.json"
"""File beside an adapter of ours with the digest of the base model's files."""


def check_model(model: ModelConfig) -> list[str]:
    """What is worth saying of the model, a line each.

    Raises ValueError, in one line, for an adapter that was trained on another base, or
    was not trained, or has no score head, and for a tokenizer of another model.
    """
    folder = adapter_source(model)
    if folder is not None:
        read_adapter(folder).check_trained()
        if model.adapter_base == "same":
            _check_base(folder, model)
    return tokenizer_notes(model)


def base_record(model: ModelConfig) -> dict[str, str]:
    """Contents of BASE_RECORD: the digest of a local base model; {} of another."""
    base = resolve_base(model.base)
    return {"base_sha256": digest_folder(base)} if Path(base).is_dir() else {}


def _check_base(folder: Folder, model: ModelConfig) -> None:
    """Raise ValueError where the adapter says that its base was another one.

    By digest where the adapter is ours; otherwise by the last part of the recorded
    name, since a copy of a hub model lies in a folder of its name.
    """
    if folder.exists(BASE_RECORD):
        recorded, own = folder.read_json(BASE_RECORD), base_record(model)
        if recorded and own and recorded != own:
            raise ValueError(
                f"model.adapter {model.adapter} was trained on a base model with other "
                f"files than {model.base}: set model.base to that one, or "
                "model.adapter_base any"
            )
        return
    named = json.loads(folder.read_bytes(CONFIG)).get("base_model_name_or_path")
    if named and _last(str(named)) != _last(model.base.removeprefix(PACKAGE)):
        raise ValueError(
            f"model.adapter {model.adapter} was trained on {named}, not on "
            f"{model.base}: set model.base {named}, or model.adapter_base any if that "
            "is the same model under another name"
        )


def _last(name: str) -> str:
    """Last part of a path or name, without case; of a hub cache's, the model's name."""
    parts = [part for part in name.replace("\\", "/").split("/") if part]
    cached = [part for part in parts if part.startswith("models--")]
    return (cached[-1].split("--")[-1] if cached else parts[-1]).casefold()
