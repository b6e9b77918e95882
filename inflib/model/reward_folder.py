"""The folder reward_model/: adapter, score head, tokenizer and metrics of a run."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inflib.config.recipe import Recipe
from inflib.data.tokenizer import load_tokenizer, resolve_base
from inflib.model.adapter import attach, read_adapter
from inflib.model.reward import digest_folder, load_base
from inflib.storage.folder import Folder


def adapter_folder(recipe: Recipe) -> Folder:
    """Where the adapter is: the user's own, or the one that `train` wrote."""
    return Folder(recipe.model.adapter or (Folder(recipe.run) / "reward_model").url)


def load_reward_model(recipe: Recipe, device: torch.device) -> tuple[nn.Module, Any]:
    """(model, tokenizer) ready for margin gradients, in eval mode on `device`."""
    tokenizer = load_tokenizer(recipe.model)
    base = load_base(recipe.model, tokenizer.pad_token_id)
    return attach(base, read_adapter(adapter_folder(recipe))).to(device), tokenizer


def describe_model(recipe: Recipe) -> dict[str, Any]:
    """Digests of adapter and base.

    Equal digests, equal margins. The base's weights are not read into memory.
    """
    adapter = read_adapter(adapter_folder(recipe))
    return {
        "adapter_sha256": adapter.sha256,
        "base_sha256": _digest_base(recipe),
    }


def _digest_base(recipe: Recipe) -> str:
    base = resolve_base(recipe.model.base)
    if Path(base).is_dir():
        return digest_folder(base)
    return hashlib.sha256(f"{base}@{recipe.model.revision}".encode()).hexdigest()
