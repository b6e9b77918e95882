"""A run's adapter (its reward_model/, or the user's own) to a loaded reward model."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor, nn

from inflib.config.recipe import Recipe
from inflib.data.adapter_files import adapter_at
from inflib.data.tokenizer import load_tokenizer, resolve_base
from inflib.data.training_plan import Steps
from inflib.model.adapter import attach, read_adapter
from inflib.model.base_model import load_base, place
from inflib.model.partway import FOLDER, MOMENTS, RECORD, Kept
from inflib.model.trained_weights import trained_parameters
from inflib.model.weights_digest import digest_folder
from inflib.storage.folder import Folder

_MARGINS = "margins.safetensors"
FOLD_MARGINS = "fold_margins.safetensors"
_FOLD = "train"

_EPSILON = 1e-8
"""AdamW's, as transformers sets it."""

Scales = dict[str, Tensor]
"""By name of the parameter, in its shape."""


def adapter_folder(recipe: Recipe) -> Folder:
    """Folder of the adapter: `model.adapter`, or the one that `train` wrote."""
    return adapter_at(recipe.model) or Folder(recipe.run) / "reward_model"


def sketched_folder(recipe: Recipe) -> Folder:
    """Folder of the adapter that labels are sketched and scored by: the model that
    training kept on its way (train.keep), or else `adapter_folder`. Its kept/ may be
    given as model.adapter, too."""
    kept = Folder(recipe.run) / "reward_model" / FOLDER
    if recipe.model.adapter is None and kept.exists(RECORD):
        return kept
    return adapter_folder(recipe)


def read_kept(recipe: Recipe) -> Kept | None:
    """What is known of the model in `sketched_folder`, where it was kept on the way."""
    folder = sketched_folder(recipe)
    return Kept(**folder.read_json(RECORD)) if folder.exists(RECORD) else None


def trained_steps(recipe: Recipe) -> Steps | None:
    """The steps of the run's own training, for retrainings that are compared with it.

    None for a run with model.adapter, or one that was trained before held-out labels
    were; retrain those on all labels, by train.epochs.
    """
    folder = Folder(recipe.run) / "reward_model"
    if recipe.model.adapter is not None or not folder.exists("metrics.json"):
        return None
    metrics = folder.read_json("metrics.json")
    if "planned_steps" not in metrics:
        return None
    return Steps(
        metrics["planned_steps"], metrics["steps"], metrics["held_out"]["below"]
    )


def write_margins(folder: Folder, margins: dict[str, Float[Tensor, " n"]]) -> None:
    """Keep r(chosen) - r(rejected) of each query set's labels that have a weight, in
    plan order, beside the model that gave them."""
    folder.write(_MARGINS, save({name: m.double() for name, m in margins.items()}))


def read_margins(folder: Folder) -> dict[str, Float[Tensor, " n"]]:
    """What write_margins kept."""
    return load(folder.read_bytes(_MARGINS))


def has_margins(folder: Folder) -> bool:
    """Whether margins are kept beside a model."""
    return folder.exists(_MARGINS)


def write_fold_margins(folder: Folder, margins: Float[Tensor, " n"]) -> None:
    """Keep r(chosen) - r(rejected) of the training labels of a fold that have a weight,
    in plan order, beside the model that was trained without them."""
    folder.write(FOLD_MARGINS, save({_FOLD: margins.double()}))


def read_fold_margins(folder: Folder) -> Float[Tensor, " n"]:
    """What write_fold_margins kept."""
    return load(folder.read_bytes(FOLD_MARGINS))[_FOLD]


def load_reward_model(recipe: Recipe, device: torch.device) -> tuple[nn.Module, Any]:
    """(model, tokenizer) ready for margin gradients, in eval mode on `device`."""
    return _loaded(recipe, adapter_folder(recipe), device)


def load_sketched_model(
    recipe: Recipe, device: torch.device
) -> tuple[nn.Module, Any, Scales | None]:
    """(model, tokenizer, scales of gradients) to sketch labels by.

    scales: {parameter: P^(1/2)}, P = 1 / (sqrt(v) + eps) being how far one of Adam's
    steps goes for a gradient, per learning rate (v: second moment; Kingma & Ba,
    arXiv:1412.6980, Algorithm 1). Inner products of scaled gradients are those in
    Adam's metric. None for a model that was not kept on the way of a training.
    """
    folder = sketched_folder(recipe)
    model, tokenizer = _loaded(recipe, folder, device)
    if not folder.exists(MOMENTS):
        return model, tokenizer, None
    moments = load(folder.read_bytes(MOMENTS))
    scales = {
        name: torch.where(v > 0, (v.sqrt() + _EPSILON).rsqrt(), 0.0).to(device)
        for name, v in moments.items()
    }
    shapes = {name: p.shape for name, p in trained_parameters(model).items()}
    if {name: scale.shape for name, scale in scales.items()} != shapes:
        raise ValueError(
            f"{folder.url}/{MOMENTS} is not of the parameters of its adapter: delete "
            "reward_model/ and train again"
        )
    return model, tokenizer, scales


def _loaded(
    recipe: Recipe, folder: Folder, device: torch.device
) -> tuple[nn.Module, Any]:
    """(base with the adapter in a folder, tokenizer)."""
    tokenizer = load_tokenizer(recipe.model)
    base = load_base(recipe.model, tokenizer.pad_token_id)
    model = attach(base, read_adapter(folder, recipe.model.task))
    return place(model, recipe.model, device), tokenizer


def describe_model(recipe: Recipe, folder: Folder | None = None) -> dict[str, Any]:
    """{"adapter_sha256", "base_sha256"}: where they are equal, so are the margins.

    folder: of the adapter; default: `adapter_folder`. A base from the Hub is digested
    by name and revision, a local one by its files.
    """
    adapter = read_adapter(folder or adapter_folder(recipe), recipe.model.task)
    return {
        "adapter_sha256": adapter.sha256,
        "base_sha256": _digest_base(recipe),
    }


def _digest_base(recipe: Recipe) -> str:
    base = resolve_base(recipe.model.base)
    if Path(base).is_dir():
        return digest_folder(base)
    return hashlib.sha256(f"{base}@{recipe.model.revision}".encode()).hexdigest()
