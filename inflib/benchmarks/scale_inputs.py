"""Numbers of pairs to generated preference files, and a tiny model for them.

At a hundred thousand pairs a real model's gradients would take all the time. A tiny
model leaves the rest of the work to be measured: reading, sharding, sketching into K
entries, storing, scoring.
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from inflib.benchmarks.workload import seeded

WORDS = [f"w{i}" for i in range(500)]
NUM_FILES = 8
"""Input files, so that more than one worker reads."""


def write_inputs(folder: Path, num_pairs: int, num_queries: int) -> None:
    """Write train-<i>.jsonl, query.jsonl, base/ and adapter/, all by fixed seeds."""
    folder.mkdir(parents=True)
    for number in range(NUM_FILES):
        lines = (_row(i) for i in range(number, num_pairs, NUM_FILES))
        _write(folder / f"train-{number}.jsonl", lines)
    _write(folder / "query.jsonl", (_row(-1 - i) for i in range(num_queries)))
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
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        num_labels=1,
        pad_token_id=0,
    )
    with seeded(0):
        model = AutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(folder / "base")
        lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, target_modules="all-linear")
        reward_model = get_peft_model(model, lora)
        for name, weight in reward_model.named_parameters():
            if "lora_B" in name:  # zero until trained, and lora_A's gradients with it
                torch.nn.init.normal_(weight, std=0.05)
        reward_model.save_pretrained(folder / "adapter")


def _row(i: int) -> dict[str, str]:
    rng = random.Random(f"pair {i}")  # an int would lose its sign
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(4, 16))) for _ in range(3)]
    return {
        "pair_id": f"pair-{i}",
        "labeler": f"labeler-{i % 20}",
        "prompt": f"{texts[0]} ",
        "chosen": texts[1],
        "rejected": texts[2],
    }


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with open(path, "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
