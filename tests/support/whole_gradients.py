"""Gradients of a run's labels by plain autograd, to compare scores with."""

import numpy as np
import torch
from safetensors.torch import load

from inflib.data.pairs_folder import PairsFolder
from inflib.model.packing import Unit, pack
from inflib.model.reward import unit_values
from inflib.model.reward_folder import load_sketched_model
from inflib.storage.folder import Folder


def texts_of(recipe, pairs):
    """(a, b) token ids and labels of a pair set, straight from its files."""
    folder = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
    for shard in folder.plan():
        rows = folder.comparisons(shard).to_pylist()
        for label in folder.labels(shard).to_pylist():
            row = rows[label["row"]]
            yield label, (row["prefix"] + row["a"], row["prefix"] + row["b"])


def adam_scales(recipe):
    """{parameter: what its gradients are multiplied with}, by Adam's second moments;
    None for a model that was not kept on the way."""
    kept = Folder(recipe.run) / "reward_model" / "kept"
    if not kept.exists("second_moments.safetensors"):
        return None
    moments = load(kept.read_bytes("second_moments.safetensors"))
    return {
        name: (v.double().pow(0.5) + 1e-8).pow(-0.5) * (v > 0)
        for name, v in moments.items()
    }


def whole_gradients(recipe, pairs):
    """(loss gradients, margins, pair ids) by plain autograd, one label at a time; the
    gradients in the metric of the sketches."""
    model, tokenizer, _ = load_sketched_model(recipe, torch.device("cpu"))
    scales = adam_scales(recipe)
    model.double()
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    parameters = [p for _, p in model.named_parameters() if p.requires_grad]
    grads, found, ids = [], [], []
    for label, responses in texts_of(recipe, pairs):
        batch = pack([Unit([], responses)], False, tokenizer.pad_token_id)
        margin = label["sign"] * unit_values(model, batch)[0]
        loss = torch.nn.functional.softplus(-margin)
        grad = torch.autograd.grad(loss, parameters)
        if scales is not None:
            grad = tuple(g * scales[n] for n, g in zip(names, grad, strict=True))
        grads.append(torch.cat([g.flatten() for g in grad]))
        found.append(float(margin.detach()))
        ids.append(label["pair_id"])
    return torch.stack(grads), np.array(found), ids
