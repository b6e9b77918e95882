"""The benchmark's pairs and model to a run folder, ready for the sketch stage."""

from pathlib import Path

import pyarrow as pa
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from inflib.benchmarks.workload import hh_pairs, reward_model
from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import COMPARISONS, LABELS, PairsFolder
from inflib.sketches.binding import bind_sketches
from inflib.storage.folder import Folder


def write_run(
    folder: Path,
    shape: str,
    num_pairs: int,
    num_shards: int,
    workers: int,
    num_queries: int | None = None,
) -> Recipe:
    """Write pairs, base model and adapter into `folder`; returns the run's recipe.

    Shards have about equal numbers of tokens. Each of the workers has one thread.
    num_queries: comparisons of the query set, which are some of the training set's;
    None: all of them.
    """
    model = reward_model(shape, torch.float32)
    model.save_pretrained(folder / "adapter")
    base = model.unload()
    base.save_pretrained(folder / "base")
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder / "base")
    recipe = Recipe.model_validate(
        {
            "run": str(folder / "run"),
            "prepare": {
                "train": {"path": "generated"},
                "queries": {"query": {"path": "generated"}},
            },
            "model": {"base": str(folder / "base"), "adapter": str(folder / "adapter")},
            "sketch": {"workers": workers, "cpus_per_worker": 1, "unit": "comparison"},
        }
    )
    pairs = sorted(hh_pairs(num_pairs), key=lambda unit: unit.num_tokens)
    for name in recipe.prepare.sources:
        target = PairsFolder(Folder(recipe.run) / "pairs" / name)
        plan = []
        chosen = pairs if name == "train" else pairs[:num_queries]
        for number in range(min(num_shards, len(chosen))):
            rows = [
                {
                    "comparison_id": f"{number:016}{i:016}",
                    "prefix": unit.prefix,
                    "a": unit.tails[0],
                    "b": unit.tails[1],
                }
                for i, unit in enumerate(chosen[number::num_shards])
            ]
            table = pa.Table.from_pylist(rows, schema=COMPARISONS)
            labels = pa.Table.from_pylist([], schema=LABELS)
            plan.append(target.write_shard(f"{number:05}", table, labels))
        target.write_plan(plan)
    bind_sketches(recipe)
    return recipe
