"""A whole audit of twelve comparisons in float64, against stored scores.

Rows of files to comparisons, margins, sketches and scores, without Ray. Weights are
sines and words are token ids, so the numbers are the same on every machine, up to
rounding. Renew tests/golden/scores.json with `python -m tests.test_golden`, and say in
the commit why the scores had to change.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.row_schema import USED
from inflib.data.rows import read_file
from inflib.data.shard_tables import kept_columns, shard_tables
from inflib.model import base_model
from inflib.scores.score_run import score_run
from inflib.sketches.binding import bind_sketches
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.storage.folder import Folder
from tests.support.files import ROOT, write_jsonl

STORED = ROOT / "tests" / "golden" / "scores.json"
WORDS = [f"w{i}" for i in range(20)]
KINDS = ("gauss_newton", "empirical_fisher", "datainf", "datainf_layer", "identity")
SHARD = 5


def words(start, count):
    return " ".join(WORDS[(start + 7 * i) % len(WORDS)] for i in range(count))


def rows(name, count):
    """Labels; some comparisons have two labelers, who may disagree."""
    labels: list[dict[str, str]] = []
    for i in range(count):
        prompt, a, b = words(i, 2 + i % 3), words(2 * i, 3), words(3 * i + 1, 2 + i % 4)
        verdicts = [(a, b, "ana")] + ([(b, a, "ben")] if i % 4 == 0 else [])
        for chosen, rejected, labeler in verdicts:
            label = {"pair_id": f"{name}-{len(labels)}", "labeler": labeler}
            texts = {"prompt": f"{prompt} ", "chosen": chosen, "rejected": rejected}
            labels.append(label | texts)
    return labels


def fill(model):
    """Sines instead of random weights: the same bits from any version of torch."""
    for number, parameter in enumerate(model.parameters()):
        places = torch.arange(parameter.numel(), dtype=torch.float64)
        values = 0.3 * torch.sin(1.7 * places + 0.9 * number + 1)
        parameter.data = values.reshape(parameter.shape).to(parameter.dtype)


def build(folder: Path) -> Recipe:
    """Data, base model, adapter, and the run's pairs/ as `prepare` would write them."""
    tokens = {w: i for i, w in enumerate(["<pad>", "<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
    ).save_pretrained(folder / "base")
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        num_labels=1,
        pad_token_id=0,
    )
    base = AutoModelForSequenceClassification.from_config(config)
    fill(base)
    base.save_pretrained(folder / "base")
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules="all-linear")
    adapted = get_peft_model(base, lora)
    fill(adapted)
    adapted.save_pretrained(folder / "adapter")
    paths = {
        name: str(write_jsonl(folder / f"{name}.jsonl", rows(name, count)))
        for name, count in (("train", 12), ("expert", 6))
    }
    recipe = Recipe.model_validate(
        {
            "run": str(folder / "run"),
            "prepare": {
                "train": {"path": paths["train"]},
                "queries": {"expert": {"path": paths["expert"]}},
                "max_length": 32,
            },
            "model": {
                "base": str(folder / "base"),
                "adapter": str(folder / "adapter"),
            },
            "sketch": {"sketch_size": 96, "by_layer": True, "store_dtype": "float32"},
            "score": {
                "curvatures": KINDS,
                "damping": [0.01, 1.0],
                "tolerance": 1e-9,
                "query_groups": 3,
                "self_probes": 4,
            },
        }
    )
    for pairs, path in paths.items():
        table = pa.concat_tables(read_file(pairs, path, pairs, recipe))
        assert set(table["state"].to_pylist()) == {USED}
        ordered = table.sort_by(
            [("comparison_id", "ascending"), ("pair_id", "ascending")]
        )
        kept = kept_columns(set(table["kinds"].to_pylist()))
        target = PairsFolder(Folder(recipe.run) / "pairs" / pairs)
        ids = ordered["comparison_id"].to_pylist()
        firsts = [i for i, name in enumerate(ids) if i == 0 or name != ids[i - 1]]
        cuts = [*firsts[::SHARD], len(ids)]
        target.write_plan(
            [
                target.write_shard(
                    f"{number:05}",
                    *shard_tables(ordered.slice(start, stop - start), kept),
                )
                for number, (start, stop) in enumerate(itertools.pairwise(cuts))
            ]
        )
    return recipe


def audit(folder: Path) -> dict[str, list]:
    """Columns of all labels' scores, by pair_id's order, and the chosen dampings."""
    recipe = build(folder)
    bind_sketches(recipe)
    sketcher = ShardSketcher(recipe)
    for pairs in recipe.prepare.sources:
        for shard in PairsFolder(Folder(recipe.run) / "pairs" / pairs).plan():
            sketcher(pairs, shard.name)
    table, records = score_run(Folder(recipe.run), recipe.score, ["expert"])
    table = table.sort_by("pair_id").drop_columns(["file"])
    dampings = {
        kind: record.queries["expert"].damping
        for kind, record in records.items()
        if record.queries
    }
    return {"dampings": [dampings], **table.to_pydict()}


@pytest.fixture
def in_float64(monkeypatch):
    monkeypatch.setitem(base_model.DTYPES, "float32", torch.float64)


def test_the_scores_are_the_stored_ones(tmp_path, in_float64):
    stored, scores = json.loads(STORED.read_text()), audit(tmp_path)
    assert scores.keys() == stored.keys()
    for name, values in stored.items():
        if isinstance(values[0], float):
            largest = max(map(abs, values))
            # sketches are stored in float32, whose rounding conjugate gradients amplify
            np.testing.assert_allclose(scores[name], values, atol=2e-5 * largest)
        elif isinstance(values[0], list):
            np.testing.assert_allclose(scores[name], values, rtol=1e-4, atol=1e-6)
        else:
            assert scores[name] == values, name


def test_the_stored_scores_are_worth_comparing():
    stored = json.loads(STORED.read_text())
    assert len(stored["pair_id"]) == 15 and set(stored["labeler"]) == {"ana", "ben"}
    for kind in KINDS:
        influences = stored[f"influence_{kind}_expert"]
        assert len(set(influences)) == 15 and min(influences) < 0 < max(influences)
        assert all(math.isfinite(e) and e > 0 for e in stored[f"error_{kind}_expert"])


if __name__ == "__main__":
    import tempfile

    base_model.DTYPES["float32"] = torch.float64
    with tempfile.TemporaryDirectory() as scratch:
        STORED.write_text(json.dumps(audit(Path(scratch)), indent=1) + "\n")
