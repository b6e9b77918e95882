"""Comparisons of random tokens with real lengths, and Llama-shaped reward models."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig

from inflib.config.reward_model import ModelConfig
from inflib.model.base_model import CLASSES
from inflib.model.implicit_reward import BETA
from inflib.model.packing import Unit
from inflib.model.trained_weights import set_dtypes

VOCABULARY = 8192

HH_LENGTHS = (
    (11, 16, 12),
    (14, 31, 9),
    (49, 13, 4),
    (11, 23, 43),
    (20, 52, 13),
    (44, 39, 12),
    (18, 73, 14),
    (11, 25, 79),
    (54, 11, 60),
    (99, 29, 6),
    (113, 7, 24),
    (15, 67, 69),
    (12, 97, 50),
    (147, 13, 9),
    (11, 138, 27),
    (13, 123, 48),
    (41, 119, 33),
    (101, 62, 40),
    (115, 53, 44),
    (107, 96, 18),
    (184, 26, 20),
    (209, 14, 17),
    (14, 105, 129),
    (97, 70, 89),
    (236, 10, 19),
    (33, 191, 49),
    (31, 64, 189),
    (168, 84, 42),
    (159, 64, 81),
    (132, 168, 14),
    (267, 27, 30),
    (17, 185, 133),
    (193, 23, 132),
    (273, 60, 28),
    (16, 117, 240),
    (17, 118, 252),
    (180, 111, 111),
    (195, 106, 118),
    (227, 155, 55),
    (366, 50, 41),
    (23, 191, 263),
    (311, 114, 77),
    (240, 157, 134),
    (203, 238, 127),
    (317, 101, 196),
    (242, 225, 206),
    (421, 95, 237),
    (667, 112, 130),
)
"""Tokens of (shared prefix, chosen tail, rejected tail) of 48 Anthropic HH helpful
pairs: every 128th of the 6,151 test pairs of at most 1,024 tokens, ordered by total,
tokenised by WordPiece. Over all pairs the means are 148, 79 and 71."""

SHAPES: dict[str, dict[str, int]] = {
    "llama-31m": {
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
    },
    "llama3-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "llama3-70b": {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
    },
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def hh_pairs(num_pairs: int, seed: int = 0) -> list[Unit]:
    """Comparisons of random tokens, lengths taken evenly from HH_LENGTHS."""
    rng = random.Random(seed)
    pairs = []
    for number in range(num_pairs):
        shared, chosen, rejected = HH_LENGTHS[number * len(HH_LENGTHS) // num_pairs]
        prefix = _tokens(rng, shared)
        pairs.append(Unit(prefix, (_tokens(rng, chosen), _tokens(rng, rejected))))
    return pairs


def recurring_pairs(num_prompts: int, seed: int = 0) -> list[dict[str, Any]]:
    """All 6 comparisons of 4 responses to each prompt, as rows for plan_units."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(num_prompts):
        place = number * len(HH_LENGTHS) // num_prompts
        prefix = _tokens(rng, HH_LENGTHS[place][0])
        tails = [
            _tokens(rng, HH_LENGTHS[(place + step) % len(HH_LENGTHS)][tail])
            for step in (0, 1)
            for tail in (1, 2)
        ]
        for a, b in itertools.combinations(tails, 2):
            comparison_id = f"{number:012}{len(rows):020}"
            row = {"comparison_id": comparison_id, "prefix": prefix, "a": a, "b": b}
            rows.append(row)
    return rows


def reward_model(
    shape: str,
    dtype: torch.dtype,
    device: str = "cpu",
    attention: str = "sdpa",
    margin: str = "reward",
) -> Any:
    """LoRA reward model (r = 16, all seven projections) with random weights; with
    margin dpo a language model."""
    config = LlamaConfig(
        **SHAPES[shape],
        vocab_size=128_256 if shape.startswith("llama3-") else VOCABULARY,
        max_position_embeddings=2048,
        num_labels=1,
        pad_token_id=0,
    )
    task = ModelConfig(base=shape, margin=margin).task
    lora = LoraConfig(task_type=task, r=16, lora_alpha=32, target_modules="all-linear")
    with seeded(0):
        with torch.device(device):
            base = CLASSES[task].from_config(
                config, dtype=dtype, attn_implementation=attention
            )
        if margin == "dpo":
            setattr(base, BETA, 0.1)
        model = get_peft_model(base, lora).to(device)
    generator = torch.Generator(device).manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:  # lora_B starts at 0, and so would its gradients
            parameter.data.normal_(0, 0.02, generator=generator)
    set_dtypes(model)
    return model.eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's global generators, which models draw their weights from, have
    this seed; afterwards they are what they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(1, VOCABULARY) for _ in range(count)]
