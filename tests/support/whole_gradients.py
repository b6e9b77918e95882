"""Gradients of a run's labels by plain autograd, to compare scores with."""

import numpy as np
import torch

from inflib.data.pairs_folder import PairsFolder
from inflib.model.packing import Unit, pack
from inflib.model.reward import trained_blocks, unit_values
from inflib.model.reward_folder import load_reward_model
from inflib.storage.folder import Folder


def texts_of(recipe, pairs):
    """(a, b) token ids and labels of a pair set, straight from its files."""
    folder = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
    for shard in folder.plan():
        rows = folder.comparisons(shard).to_pylist()
        for label in folder.labels(shard).to_pylist():
            row = rows[label["row"]]
            yield label, (row["prefix"] + row["a"], row["prefix"] + row["b"])


def whole_gradients(recipe, pairs):
    """(loss gradients, margins, pair ids) by plain autograd, one label at a time."""
    model, tokenizer = load_reward_model(recipe, torch.device("cpu"))
    model.double()
    parameters = [
        p for linear in trained_blocks(model).values() for p in linear.parameters()
    ]
    grads, found, ids = [], [], []
    for label, responses in texts_of(recipe, pairs):
        batch = pack([Unit([], responses)], False, tokenizer.pad_token_id)
        margin = label["sign"] * unit_values(model, batch)[0]
        loss = torch.nn.functional.softplus(-margin)
        grad = torch.autograd.grad(loss, parameters)
        grads.append(torch.cat([g.flatten() for g in grad]))
        found.append(float(margin.detach()))
        ids.append(label["pair_id"])
    return torch.stack(grads), np.array(found), ids
