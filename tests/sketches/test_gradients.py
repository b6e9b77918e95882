"""Hook gradients against float64 autograd of the plain two-forward margin."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from inflib.benchmarks.exact import without_float32
from inflib.model.packing import Unit, pack
from inflib.model.trained_weights import trained_blocks
from inflib.sketches.gradients import UnitGradients, block_sizes, weight_grads
from inflib.sketches.gradients import _padded_weight_grads as padded
from tests.support.models import DECODERS, FAMILIES, build_model, with_lora

PAD = 0
EOS = 3
RAGGED = [  # lengths all different, EOS inside and last, no tail, no prefix
    Unit([2, 50, 51], ([52, 53, 60, EOS], [90, EOS])),
    Unit([2, 70], ([71, EOS], [81, 82, 83, 84, 85, 86, EOS])),
    Unit([2, 10], ([EOS, 12, 13, EOS], [])),
    Unit([], ([20, 21, EOS], [30, 31, 32, 33, 34, EOS])),
]
FORMS = [("llama", False), ("qwen", False), ("bert", False)]
FORMS += [(family, True) for family in DECODERS]
KERNELS = [
    (family, flat, attention)
    for family, flat in FORMS
    for attention in ("sdpa", "eager")
    # Gemma 2 caps attention scores, which sdpa cannot: transformers refuses it.
    if (family, attention) != ("gemma2", "sdpa")
]


def model_in_float64(family, pad_id=PAD):
    model = with_lora(build_model(family, pad_id=pad_id))
    return without_float32(model, positions=256)


def reward(model, ids):
    """Reward of one unpadded sequence, by transformers' own forward."""
    tokens = torch.tensor([ids])
    return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, 0]


def by_autograd(model, units):
    """(values, gradients): one unit at a time, one plain forward per sequence."""
    parameters = [
        p
        for linear in trained_blocks(model).values()
        for p in linear.parameters()
        if p.requires_grad
    ]
    values, rows = [], []
    for unit in units:
        rewards = [reward(model, ids) for ids in unit.sequences]
        value = rewards[0] - rewards[1] if len(rewards) == 2 else rewards[0]
        grads = torch.autograd.grad(value, parameters)
        values.append(value.detach())
        rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(values), torch.stack(rows)


def by_hooks(model, units, flat=False, pad_id=PAD):
    """(values, gradients) by UnitGradients, all units in one batch."""
    gradients = UnitGradients(model)
    block_grads = {}

    def consume(block, grads):
        assert block not in block_grads
        block_grads[block] = grads

    values = gradients(pack(units, flat, pad_id), consume)
    return values, torch.cat([block_grads[name] for name in gradients.blocks], dim=1)


@pytest.mark.parametrize(("family", "flat", "attention"), KERNELS)
def test_hooks_equal_autograd_of_plain_forwards(family, flat, attention, monkeypatch):
    softmax = torch.softmax  # eager attention asks for float32
    monkeypatch.setattr(F, "softmax", lambda x, dim, dtype=None: softmax(x, dim))
    # An unpadded sequence that ends in the pad id would be read one token early by
    # transformers, so the reference model pads with an id that never occurs.
    model = model_in_float64(family, pad_id=511)
    model.get_base_model().set_attn_implementation(attention)
    expected = by_autograd(model, RAGGED)
    margins, grads = by_hooks(model, RAGGED, flat)
    torch.testing.assert_close((margins, grads), expected, rtol=1e-9, atol=1e-12)
    assert grads.shape[1] == sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "lora_" in name or "modules_to_save" in name
    )


@pytest.mark.parametrize("flat", [False, True])
def test_float32_is_within_rounding(flat):
    model = with_lora(build_model("llama", pad_id=511))
    expected_margins, expected = by_autograd(model, RAGGED)
    margins, grads = by_hooks(model, RAGGED, flat)
    torch.testing.assert_close(margins, expected_margins, rtol=1e-5, atol=1e-5)
    error = (grads - expected).norm(dim=1) / expected.norm(dim=1)
    assert error.max() < 1e-5


@pytest.mark.parametrize("flat", [False, True])
def test_gradients_of_two_responses_differ_by_that_of_their_comparison(flat):
    model = model_in_float64("llama", pad_id=511)
    responses = [Unit([], (ids,)) for unit in RAGGED for ids in unit.sequences]
    expected = by_autograd(model, responses)
    rewards, grads = by_hooks(model, responses, flat)
    torch.testing.assert_close((rewards, grads), expected, rtol=1e-9, atol=1e-12)
    model = model_in_float64("llama", pad_id=511)
    comparisons = by_hooks(model, RAGGED, flat)
    differences = (rewards[0::2] - rewards[1::2], grads[0::2] - grads[1::2])
    torch.testing.assert_close(differences, comparisons, rtol=1e-9, atol=1e-12)


def test_both_kernels_equal_one_product_per_unit():
    bounds = [0, 3, 4, 9]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    output_grads = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    expected = torch.stack(
        [
            output_grads[start:stop].T @ inputs[start:stop]
            for start, stop in itertools.pairwise(bounds)
        ]
    )
    for kernel in (weight_grads, padded):
        torch.testing.assert_close(kernel(inputs, output_grads, bounds), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_pad_equal_to_eos_changes_nothing(family):
    model = model_in_float64(family)
    expected = by_hooks(model, RAGGED)
    model = model_in_float64(family)
    model.get_base_model().config.pad_token_id = EOS
    torch.testing.assert_close(by_hooks(model, RAGGED, pad_id=EOS), expected)


@pytest.mark.parametrize(
    ("family", "flat"),
    [("llama", False), ("llama", True), ("gemma3", True), ("bert", False)],
)
def test_batch_size_changes_rounding_only(family, flat):
    model = model_in_float64(family)
    _, together = by_hooks(model, RAGGED, flat)
    for i, unit in enumerate(RAGGED):
        _, alone = by_hooks(model_in_float64(family), [unit], flat)
        torch.testing.assert_close(together[i], alone[0], rtol=1e-9, atol=1e-12)


def test_the_score_head_is_one_of_the_blocks():
    sizes = block_sizes(model_in_float64("llama"))
    assert sizes["base_model.model.score.modules_to_save.default"] == 24
    sizes = block_sizes(model_in_float64("bert"))
    assert sizes["base_model.model.classifier.modules_to_save.default"] == 24 + 1


def test_swapping_the_responses_changes_the_sign_alone():
    model = model_in_float64("llama")
    margins, grads = by_hooks(model, RAGGED)
    model = model_in_float64("llama")
    swapped = by_hooks(model, [Unit(unit.prefix, unit.tails[::-1]) for unit in RAGGED])
    torch.testing.assert_close(swapped, (-margins, -grads))


def test_hooks_are_gone_afterwards_even_after_an_error():
    model = model_in_float64("llama")
    gradients = UnitGradients(model)

    def refuse(block, grads):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        gradients(pack(RAGGED, True, PAD), refuse)
    assert not any(module._forward_hooks for module in model.modules())
