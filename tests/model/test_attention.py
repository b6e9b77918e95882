"""What a token of a flat batch may see; which models can take flat batches."""

import itertools
import sys

import pytest
import torch
from torch.nn.attention.flex_attention import create_mask
from transformers import (
    BertConfig,
    FalconConfig,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3NextConfig,
)

from inflib.model.attention import allowed, block_mask, longest_flat
from inflib.model.packing import Unit, pack
from inflib.model.reward import unit_values
from tests.support.models import build_model, with_lora

UNITS = [
    Unit([2] * 150, ([3] * 40, [4] * 7)),
    Unit([2] * 3, ([3], [4])),
    Unit([], ([3] * 130, [])),
]


def expected_mask():
    """By the definition: what the token sees in its own full sequence."""
    tokens = [
        (number, tail, place)
        for number, unit in enumerate(UNITS)
        for tail, ids in enumerate([unit.prefix, *unit.tails])
        for place in range(len(ids))
    ]

    def sees(query, key):
        unit, tail, place = query
        if key[0] != unit or key[1] not in (0, tail):
            return False
        return key[2] <= place if key[1] == tail else tail > 0

    return torch.tensor([[sees(query, key) for key in tokens] for query in tokens])


def test_a_token_sees_what_it_sees_in_its_own_sequence():
    layout = pack(UNITS, True, 0).layout
    assert layout is not None
    masks = [
        allowed(layout, start, stop).float()
        for start, stop in itertools.pairwise(layout.bounds)
    ]
    assert torch.equal(torch.block_diag(*masks).bool(), expected_mask())


def test_the_block_mask_hides_the_same_and_skips_blocks_without_a_common_unit():
    layout = pack(UNITS, True, 0).layout
    assert layout is not None
    mask, t = block_mask(layout), layout.bounds[-1]
    dense = create_mask(mask.mask_mod, 1, 1, t, t, device="cpu")[0, 0]
    assert torch.equal(dense, expected_mask())
    blocks = mask.to_dense()[0, 0].bool()
    needed = torch.nn.functional.pad(dense, (0, -t % 128, 0, -t % 128))
    needed = needed.view(len(blocks), 128, -1, 128).any(3).any(1)
    assert not (needed & ~blocks).any()
    assert not blocks[2, 0]  # the third unit begins in the second block
    assert mask.shape == (1, 1, t, t)


@pytest.mark.slow  # compiles
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_flex_attention_gives_the_same_margins():
    """The backward pass needs a GPU: scripts/gpu_check.py checks it."""
    model = with_lora(build_model("llama"))
    with torch.no_grad():
        expected = unit_values(model, pack(UNITS, True, 0))
        model.get_base_model().set_attn_implementation("flex_attention")
        margins = unit_values(model, pack(UNITS, True, 0))
    torch.testing.assert_close(margins, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (LlamaConfig(), sys.maxsize),
        (Qwen2Config(), sys.maxsize),
        (Qwen2Config(use_sliding_window=True, sliding_window=100), 100),
        (MistralConfig(sliding_window=4096), 4096),
        (MistralConfig(sliding_window=None), sys.maxsize),
        (Gemma3TextConfig(sliding_window=512), 512),
        (Gemma3TextConfig(use_bidirectional_attention=True), 0),
        (BertConfig(), 0),
        (FalconConfig(), 0),  # a class of its own, positions by ALiBi
        (Qwen3NextConfig(), 0),  # linear attention
    ],
    ids=lambda value: type(value).__name__,
)
def test_longest_sequence_in_a_flat_batch_by_model(config, longest):
    assert longest_flat(config) == longest


def test_without_a_private_name_of_transformers_prompts_are_not_shared(monkeypatch):
    config = LlamaConfig()
    assert longest_flat(config) > 0
    with monkeypatch.context() as removed:
        for owner in LlamaForSequenceClassification.__mro__:
            if "_supports_attention_backend" in vars(owner):
                removed.delattr(owner, "_supports_attention_backend")
        assert longest_flat(config) == 0
    with monkeypatch.context() as removed:
        removed.delattr(PretrainedConfig, "_attn_implementation")
        assert longest_flat(config) == 0
