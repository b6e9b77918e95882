"""Sketches of model families in which trained maps run twice, on other rows, or not at
all: as plain autograd says."""

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    DebertaV2Config,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    LongformerConfig,
    MixtralConfig,
    RobertaConfig,
)

from inflib.model.packing import Unit
from tests.support.autograd_sketches import assert_sketches, by_autograd
from tests.support.models import build_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False"),  # GPT-2
    pytest.mark.filterwarnings("ignore:.*pattern keys did not match"),  # Mixtral
]
UNITS = [
    Unit([20, 50, 51], ([52, 53, 60, 7], [90, 7])),
    Unit([20, 70], ([71, 7], [81, 82, 83, 84, 85, 86, 7])),
    Unit([], ([30, 31, 7], [40, 41, 42, 43, 44, 45])),
]
SIZE = {"vocab_size": 128, "hidden_size": 24, "num_attention_heads": 4}
SIZE |= {"num_hidden_layers": 2, "intermediate_size": 40, "pad_token_id": 0}
SIZE |= {"num_labels": 1, "max_position_embeddings": 64}
HEADS = {"num_key_value_heads": 2, "head_dim": 8}
EXPERTS = {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": None}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
CONFIGS = {
    "roberta": RobertaConfig(**SIZE),
    "gpt2": GPT2Config(vocab_size=128, n_embd=24, n_head=4, n_layer=2, pad_token_id=0),
    "gpt_neox": GPTNeoXConfig(**SIZE),
    "deberta-v2": DebertaV2Config(
        **SIZE, **RELATIVE, share_att_key=True, position_buckets=8
    ),
    "albert": AlbertConfig(**SIZE, embedding_size=16),
    "mixtral": MixtralConfig(**SIZE, **HEADS, **EXPERTS),
    "longformer": LongformerConfig(**SIZE, attention_window=8),
    "gpt_oss": GptOssConfig(**SIZE, **HEADS, **EXPERTS | {"sliding_window": 32}),
}
EXACT_AT_ONCE = {"roberta", "gpt2", "gpt_neox", "albert", "gpt_oss"}
"""Families that need no autograd of single units."""


def with_adapter(base, **settings):
    """The model with a trained adapter: all its entries random."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=3, lora_alpha=6, **settings)
    model = get_peft_model(base, config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = 0.2 * noise
    return model.eval()


def reward(model, ids):
    """By transformers' own forward, of one sequence without padding."""
    tokens = torch.tensor([ids])
    return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, 0]


def margin(model, unit):
    a, b = (reward(model, ids) for ids in unit.sequences)
    return a - b


def check(model):
    right = by_autograd(model, UNITS, margin)
    found = right.sketcher(UNITS, 4096)
    torch.testing.assert_close(found.values.float(), right.values, rtol=1e-4, atol=1e-5)
    assert_sketches(found, right)
    torch.testing.assert_close(
        found.squares().sum(1).float(), right.squares, rtol=1e-3, atol=1e-6
    )
    return right.sketcher


@pytest.mark.parametrize("family", CONFIGS)
def test_sketches_are_those_of_autograd(family):
    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_config(CONFIGS[family])
    sketcher = check(with_adapter(base, target_modules="all-linear"))
    assert (sketcher._plain is None) == (family in EXACT_AT_ONCE)


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "lora_only"},
        {"bias": "all"},
        {"use_dora": True},
        {"use_rslora": True},
        {"modules_to_save": ["embed_tokens", "score"]},
        {"trainable_token_indices": [20, 7]},
    ],
    ids=str,
)
def test_whatever_an_adapter_trains_is_in_the_gradient(settings):
    check(with_adapter(build_model("qwen"), target_modules="all-linear", **settings))
