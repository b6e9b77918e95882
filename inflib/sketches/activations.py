"""Pairs of a shard to hidden states of both responses after every layer of the reward
model, in activations/ of a run.

    <set>/<shard>-<key>-<layer>.npy   [c, 2, f] of responses a and b, float32
    <set>/<shard>-<key>.json          {"layers": their number}; written last

c  comparisons     n  labels     f  features of a layer

They are taken from the token whose last hidden state the score head reads: a decoder's
last token, an encoder's first.
"""

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from peft import PeftModel

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.model.device import worker_device
from inflib.model.packing import pack, plan_batches
from inflib.model.reward import hidden_states, longest_shared
from inflib.model.reward_folder import describe_model, load_reward_model
from inflib.sketches.unit_sketcher import CPU_BUDGET
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder, read_array, write_array


def key(recipe: Recipe, adapted: bool = True) -> str:
    """Digest of the model and its settings: all that activations depend on beside the
    shard. It is in the name of every file. adapted: False for the base model alone."""
    model = describe_model(recipe) | recipe.model.model_dump(mode="json")
    if not adapted:
        model["adapter_sha256"] = None
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()[:12]


def record_name(shard: Shard, key: str) -> str:
    """Name of the file whose presence says that all layers of the shard are written."""
    return f"{shard.name}-{shard.sha256[:8]}-{key}.json"


def _layer_name(shard: Shard, key: str, layer: int) -> str:
    return record_name(shard, key).replace(".json", f"-{layer:02}.npy")


def read_layer(
    run: Folder, pairs: str, key: str, layer: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations of a whole pair set after one layer, in plan order: [c, 2, f] of the
    comparisons, and for each label [n] the row of its comparison and its sign (+1:
    response a was chosen).

    pairs: the pair set; layer: from 0.
    """
    activations, rows, signs, start = [], [], [], 0
    folder = PairsFolder(run / "pairs" / pairs)
    for shard in folder.plan():
        name = _layer_name(shard, key, layer)
        activations.append(read_array(run / "activations" / pairs, name))
        labels = folder.labels(shard, ["row", "sign"])
        rows.append(start + labels["row"].to_numpy())
        signs.append(labels["sign"].to_numpy())
        start += shard.num_comparisons
    return np.concatenate(activations), np.concatenate(rows), np.concatenate(signs)


def read_last_layer(
    run: Folder, pairs: str, key: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same as `read_layer`, of the last one."""
    first, *_ = PairsFolder(run / "pairs" / pairs).plan()
    record = (run / "activations" / pairs).read_json(record_name(first, key))
    return read_layer(run, pairs, key, record["layers"] - 1)


class ActivationReader:
    """Holds the reward model; computes and writes the activations of shards.

    adapted: False for those of the base model, without its adapter.
    """

    def __init__(self, recipe: Recipe, threads: int, adapted: bool = True) -> None:
        self.run, self.threads = Folder(recipe.run), threads
        self.key, self.adapted = key(recipe, adapted), adapted
        self.device = worker_device(recipe.sketch.gpus_per_worker)
        self.model, tokenizer = load_reward_model(recipe, self.device)
        self.pad_id = tokenizer.pad_token_id
        budget = recipe.sketch.token_budget
        self.budget = CPU_BUDGET if budget == "auto" else budget
        self.longest_flat = longest_shared(self.model)

    def __call__(self, pairs: str, shard: Shard) -> int:
        """Write the activations of a pair set's shard; returns the number of layers."""
        torch.set_num_threads(self.threads)
        folder = PairsFolder(self.run / "pairs" / pairs)
        table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
        plan = plan_units(table.to_pylist(), "comparison")
        flat = all(unit.longest <= self.longest_flat for unit in plan.units)
        batches: list[Any] = []
        base = nullcontext() if self.adapted else self._without_adapter()
        with torch.inference_mode(), base:
            for batch in plan_batches(plan.units, self.budget, flat):
                packed = pack(batch, flat, self.pad_id).to(self.device)
                states = hidden_states(self.model, packed).float().cpu()
                batches.append(states.unflatten(1, (len(batch), 2)))
        layers = torch.cat(batches, dim=1)[:, plan.first]
        target = self.run / "activations" / pairs
        for layer, values in enumerate(layers.numpy()):
            write_array(target, _layer_name(shard, self.key, layer), values)
        target.write_json(record_name(shard, self.key), {"layers": len(layers)})
        return len(layers)

    def _without_adapter(self) -> AbstractContextManager[None]:
        assert isinstance(self.model, PeftModel)
        return self.model.disable_adapter()
