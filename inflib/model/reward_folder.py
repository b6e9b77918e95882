"""A run's adapter (its reward_model/, or the user's own) to a loaded reward model."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inflib.config.recipe import Recipe
from inflib.data.adapter_files import adapter_at
from inflib.data.tokenizer import load_tokenizer, resolve_base
from inflib.model.adapter import attach, read_adapter
from inflib.model.reward import digest_folder, load_base
from inflib.storage.folder import Folder


def adapter_folder(recipe: Recipe) -> Folder:
    """Folder of the adapter: `model.adapter`, or the one that `train` wrote."""
    return adapter_at(recipe.model) or Folder(recipe.run) / "reward_model"


def load_reward_model(recipe: Recipe, device: torch.device) -> tuple[nn.Module, Any]:
    """(model, tokenizer) ready for margin gradients, in eval mode on `device`."""
    tokenizer = load_tokenizer(recipe.model)
    base = load_base(recipe.model, tokenizer.pad_token_id)
    return attach(base, read_adapter(adapter_folder(recipe))).to(device), tokenizer


def describe_model(recipe: Recipe) -> dict[str, Any]:
    """{"adapter_sha256", "base_sha256"}: where they are equal, so are the margins.

    A base from the Hub is digested by name and revision, a local one by its files.
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
