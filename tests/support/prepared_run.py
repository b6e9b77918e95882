"""A small run, prepared without Ray, and its sketches."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors.torch import load_file, save_file

from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.data.pairs_folder import PairsFolder
from inflib.data.row_schema import USED
from inflib.data.rows import read_file
from inflib.data.shard_tables import shard_tables
from inflib.model.base_model import CLASSES
from inflib.scores import score_table
from inflib.sketches import store
from inflib.sketches.binding import bind_sketches
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.storage.folder import Folder
from tests.support.files import write_jsonl
from tests.support.models import build_model, build_tokenizer, with_lora

ANSWERS = [
    "Weigh the flour.",
    "Oil the chain. Check it.",
    "Castle.",
    "Run slowly today.",
]
ROWS = [
    {"pair_id": f"p{i}", "prompt": f"Question {i}? ", "chosen": a, "rejected": b}
    for i, (a, b) in enumerate(itertools.permutations(ANSWERS, 2))
]
"""12 labels: every ordered pair of answers, each with a prompt of its own."""

POISONED = {"pair_id": "bad", "prompt": "Question? ", "chosen": "~", "rejected": "no"}
"""A label whose margin is not finite in a run that is built with poison=True."""


def build_run(
    folder,
    rows,
    poison=False,
    margin_column=None,
    family="llama",
    shard_rows=5,
    kept=None,
    margin="reward",
    chat=True,
    model=None,
    **sketch,
):
    """Recipe of a prepared run with base model, adapter and sketches/manifest.json.

    The rows are the training set and the query set q, in shards of shard_rows rows.
    poison: the embedding of "~" is infinite. kept: {own column: its type}. chat:
    whether the tokenizer has a chat template. model, sketch: fields of the recipe's
    sections.
    """
    base = folder / "base"
    made = {"base": str(base), "adapter": str(folder / "adapter"), "margin": margin}
    model = ModelConfig(**made, **(model or {}))
    kind = CLASSES[model.task]
    build_model(family, kind=kind).save_pretrained(base)
    tokenizer = build_tokenizer()
    if not chat:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(base)
    adapted = with_lora(build_model(family, kind=kind), task=model.task)
    adapted.save_pretrained(folder / "adapter")
    if poison:
        token = build_tokenizer()("~")["input_ids"][0]
        weights = load_file(base / "model.safetensors")
        weights["model.embed_tokens.weight"][token] = torch.inf
        save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    path = str(write_jsonl(folder / "train.jsonl", rows))
    recipe = Recipe.model_validate(
        {
            "run": str(folder / "run"),
            "prepare": {
                "train": {"path": path},
                "queries": {"q": {"path": path}},
                "max_length": 128,
                "margin_column": margin_column,
            },
            "model": model.model_dump(),
            "sketch": {"sketch_size": 512, **sketch},
        }
    )
    table = pa.concat_tables(read_file("train", path, "train", recipe))
    used = table.filter(pc.field("state") == USED)
    for pairs in ("train", "q"):
        target = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
        target.write_plan(
            [
                target.write_shard(
                    f"{i:05}", *shard_tables(used.slice(start, shard_rows), kept or {})
                )
                for i, start in enumerate(range(0, len(used), shard_rows))
            ]
        )
    bind_sketches(recipe)
    return recipe


def columns():
    """Score columns of one query set x: H^-1 v is all ones, and one query group."""
    ones = torch.ones(1, 512, 1).double()
    return score_table.ScoreVectors(["x"], ones, torch.ones(1, 1), [None])


def shards(recipe):
    """The plan of the training set."""
    return PairsFolder(Folder(recipe.run) / "pairs" / "train").plan()


def names(recipe):
    """Names of the training shards."""
    return [shard.name for shard in shards(recipe)]


def sketched(recipe):
    """Sketch the training set; {pair_id: (margin, |s|^2, status, sketch)}."""
    sketcher, run = ShardSketcher(recipe), Folder(recipe.run)
    results = {}
    for shard in shards(recipe):
        sketcher("train", shard.name)
        folder = run / "sketches" / "train"
        record = store.read_record(folder, shard.name)
        rows, digests = store.read_rows(record), store.Digests.of(record)
        payload = store.read_payload(folder, shard.name, digests)
        sketches = store.decode(payload, rows.scale)
        labels = PairsFolder(run / "pairs" / "train").labels(shard)
        for label in labels.to_pylist():
            i = label["row"]
            results[label["pair_id"]] = (
                rows.margin[i],
                rows.sq_norms[i].sum(),
                rows.status[i],
                sketches[i],
            )
    return results


def payloads(recipe):
    """{name: bytes} of all files of the training set's sketches."""
    folder = Path(recipe.run) / "sketches" / "train"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def close(actual, expected):
    """Assert equality up to float32 rounding of the largest entry."""
    torch.testing.assert_close(
        actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
    )
