"""Hidden states of chosen and rejected responses, for detectors that look for labels
unlike the trusted ones.

    <set>/<shard>-<key>-<layer>.npy   [n, 2, f] of responses a and b, float32
    <set>/<shard>-<key>.json          written last: the shard is complete

n  comparisons of a shard     f  features of a layer

They are read where the reward is: a decoder's last token, an encoder's first.
"""

import hashlib
import json
from typing import Any

import numpy as np
import torch

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.model.attention import longest_flat
from inflib.model.packing import pack, plan_batches
from inflib.model.reward import hidden_states
from inflib.model.reward_folder import describe_model, load_reward_model
from inflib.sketches.unit_sketcher import CPU_BUDGET
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder, read_array, write_array


def key(recipe: Recipe) -> str:
    """What activations depend on beside the shard, as part of their files' names."""
    about = describe_model(recipe) | recipe.model.model_dump(mode="json")
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def record_name(shard: Shard, key: str) -> str:
    """File that says that the shard's activations are all there."""
    return f"{shard.name}-{shard.sha256[:8]}-{key}.json"


def _layer_name(shard: Shard, key: str, layer: int) -> str:
    return record_name(shard, key).replace(".json", f"-{layer:02}.npy")


def read_layer(
    run: Folder, pairs: str, key: str, layer: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(activations of each comparison [c, 2, f], comparison and sign of each label) of
    a whole pair set, in plan order."""
    found, rows, signs, start = [], [], [], 0
    folder = PairsFolder(run / "pairs" / pairs)
    for shard in folder.plan():
        name = _layer_name(shard, key, layer)
        found.append(read_array(run / "activations" / pairs, name))
        labels = folder.labels(shard, ["row", "sign"])
        rows.append(start + labels["row"].to_numpy())
        signs.append(labels["sign"].to_numpy())
        start += shard.num_comparisons
    return np.concatenate(found), np.concatenate(rows), np.concatenate(signs)


class ActivationReader:
    """Computes and writes the activations of shards; holds the model."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self.run, self.key, self.threads = Folder(recipe.run), key(recipe), threads
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, tokenizer = load_reward_model(recipe, self.device)
        self.pad_id = tokenizer.pad_token_id
        budget = recipe.sketch.token_budget
        self.budget = CPU_BUDGET if budget == "auto" else budget
        self.longest_flat = longest_flat(self.model.config)

    def __call__(self, pairs: str, shard: Shard) -> int:
        """Write the activations of a shard; returns the number of layers."""
        torch.set_num_threads(self.threads)
        folder = PairsFolder(self.run / "pairs" / pairs)
        table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
        plan = plan_units(table.to_pylist(), "comparison")
        flat = all(unit.longest <= self.longest_flat for unit in plan.units)
        parts: list[Any] = []
        with torch.inference_mode():
            for batch in plan_batches(plan.units, self.budget, flat):
                packed = pack(batch, flat, self.pad_id).to(self.device)
                found = hidden_states(self.model, packed).float().cpu()
                parts.append(found.unflatten(1, (len(batch), 2)))
        layers = torch.cat(parts, dim=1)[:, plan.first]
        target = self.run / "activations" / pairs
        for layer, values in enumerate(layers.numpy()):
            write_array(target, _layer_name(shard, self.key, layer), values)
        target.write_json(record_name(shard, self.key), {"layers": len(layers)})
        return len(layers)
