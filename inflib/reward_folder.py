"""The folder reward_model/: adapter, score head, tokenizer and metrics of a run.

Adapters are loaded from local disk; on S3 they are copied to a scratch folder first.
"""

import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.reward import (
    check_adapter,
    digest_folder,
    load_adapter,
    load_base,
)
from inflib.tokenizer import load_tokenizer, resolve_base

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def adapter_folder(recipe: Recipe) -> Folder:
    """Where the adapter is: the user's own, or the one that `train` wrote."""
    return Folder(recipe.model.adapter or (Folder(recipe.run) / "reward_model").url)


def load_reward_model(recipe: Recipe, device: torch.device) -> tuple[nn.Module, Any]:
    """(model, tokenizer) ready for margin gradients, in eval mode on `device`."""
    config = recipe.model
    tokenizer = load_tokenizer(config.base, config.revision, config.trust_remote_code)
    base = load_base(
        config.base,
        config.revision,
        DTYPES[config.dtype],
        config.attention,
        config.trust_remote_code,
        tokenizer.pad_token_id,
    )
    with tempfile.TemporaryDirectory() as scratch:
        model = load_adapter(base, _local_copy(adapter_folder(recipe), scratch))
    return model.to(device), tokenizer


def check_run_adapter(recipe: Recipe) -> None:
    """Refuse an adapter whose rewards would be wrong, before anything is computed."""
    with tempfile.TemporaryDirectory() as scratch:
        check_adapter(_local_copy(adapter_folder(recipe), scratch))


def describe_model(recipe: Recipe) -> tuple[str, int]:
    """(digest, D): SHA-256 over base model and adapter, number of trained parameters.

    Equal digests, equal margins. Reads no weights into memory.
    """
    with tempfile.TemporaryDirectory() as scratch:
        local = _local_copy(adapter_folder(recipe), scratch)
        check_adapter(local)
        parts = [digest_folder(local, ADAPTER_FILES)]
        with safe_open(Path(local) / ADAPTER_FILES[1], "pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    base = resolve_base(recipe.model.base)
    if Path(base).is_dir():
        parts.append(digest_folder(base))
    else:
        parts.append(f"{base}@{recipe.model.revision}")
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()
    return digest, sum(math.prod(shape) for shape in shapes)


def _local_copy(adapter: Folder, scratch: str) -> str:
    if adapter.is_local:
        return adapter.url
    for name in ADAPTER_FILES:
        Path(scratch, name).write_bytes(adapter.read_bytes(name))
    return scratch
