"""Hook gradients against float64 autograd of the plain two-forward margin."""

import pytest
import torch
import torch.nn.functional as F

from inflib.benchmarks.exact import without_float32
from inflib.model.packing import Unit, pack
from inflib.model.reward import trained_linears
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
        for linear in trained_linears(model).values()
        for p in linear.parameters()
        if p.requires_grad
    ]
    values, rows = [], []
    for unit in units:
        found = [reward(model, ids) for ids in unit.sequences]
        value = found[0] - found[1] if len(found) == 2 else found[0]
        grads = torch.autograd.grad(value, parameters)
        values.append(value.detach())
        rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(values), torch.stack(rows)


def by_hooks(model, units, flat=False, pad_id=PAD):
    gradients = UnitGradients(model)
    found = {}

    def consume(block, grads):
        assert block not in found
        found[block] = grads

    values = gradients(pack(units, flat, pad_id), consume)
    return values, torch.cat([found[name] for name in gradients.blocks], dim=1)


@pytest.mark.parametrize(("family", "flat", "attention"), KERNELS)
def test_hooks_equal_autograd_of_plain_forwards(family, flat, attention, monkeypatch):
    softmax = torch.softmax  # eager attention asks for float32
    monkeypatch.setattr(F, "softmax", lambda x, dim, dtype=None: softmax(x, dim))
    # An unpadded sequence that ends in the pad id would be read one token early by
    # transformers, so the reference model pads with an id that never occurs.
    model = model_in_float64(family, pad_id=511)
    model.get_base_model().set_attn_implementation(attention)
    expected = by_autograd(model, RAGGED)
    found = by_hooks(model, RAGGED, flat)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert found[1].shape[1] == sum(
        p.numel()
        for n, p in model.named_parameters()
        if "lora_" in n or "modules_to_save" in n
    )


@pytest.mark.parametrize("flat", [False, True])
def test_float32_is_within_rounding(flat):
    model = with_lora(build_model("llama", pad_id=511))
    margins, grads = by_autograd(model, RAGGED)
    found_margins, found = by_hooks(model, RAGGED, flat)
    torch.testing.assert_close(found_margins, margins, rtol=1e-5, atol=1e-5)
    error = (found - grads).norm(dim=1) / grads.norm(dim=1)
    assert error.max() < 1e-5


@pytest.mark.parametrize("flat", [False, True])
def test_single_responses_are_units_too(flat):
    model = model_in_float64("llama", pad_id=511)
    responses = [Unit([], (ids,)) for unit in RAGGED for ids in unit.sequences]
    expected = by_autograd(model, responses)
    found = by_hooks(model, responses, flat)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    model = model_in_float64("llama", pad_id=511)
    rewards, grads = found
    pairs = by_hooks(model, RAGGED, flat)
    differences = (rewards[0::2] - rewards[1::2], grads[0::2] - grads[1::2])
    torch.testing.assert_close(differences, pairs, rtol=1e-9, atol=1e-12)


def test_one_padded_product_equals_many_small_ones():
    bounds = [0, 3, 4, 9]
    inputs, grads = torch.randn(9, 5).double(), torch.randn(9, 2).double()
    expected = weight_grads(inputs, grads, bounds)
    torch.testing.assert_close(padded(inputs, grads, bounds), expected)
    for unit, (start, stop) in enumerate([(0, 3), (3, 4), (4, 9)]):
        torch.testing.assert_close(
            expected[unit], grads[start:stop].T @ inputs[start:stop]
        )


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


def test_the_score_head_is_part_of_theta():
    sizes = block_sizes(model_in_float64("llama"))
    assert sizes["base_model.model.score.modules_to_save.default"] == 24
    sizes = block_sizes(model_in_float64("bert"))
    assert sizes["base_model.model.classifier.modules_to_save.default"] == 24 + 1


def test_swapping_the_responses_changes_the_sign_alone():
    model = model_in_float64("llama")
    margins, grads = by_hooks(model, RAGGED)
    model = model_in_float64("llama")
    swapped = by_hooks(model, [Unit(u.prefix, u.tails[::-1]) for u in RAGGED])
    torch.testing.assert_close(swapped, (-margins, -grads))


def test_hooks_are_gone_afterwards_even_after_an_error():
    model = model_in_float64("llama")
    gradients = UnitGradients(model)

    def refuse(block, grads):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        gradients(pack(RAGGED, True, PAD), refuse)
    assert not any(m._forward_hooks for m in model.modules())
