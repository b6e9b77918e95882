"""Hook gradients against float64 autograd of the plain two-forward margin."""

import pytest
import torch

from inflib.gradients import MarginGradients, block_sizes
from inflib.packing import pad
from inflib.reward import trained_linears
from tests.conftest import FAMILIES, build_model, with_lora

PAD = 0
EOS = 3
RAGGED = [  # (response a, response b): lengths all different, EOS inside and last
    ([2, 50, 51, 52, 53, 60, EOS], [2, 50, 51, 90, EOS]),
    ([2, 70, 71, EOS], [2, 70, 81, 82, 83, 84, 85, 86, EOS]),
    ([2, 10, EOS, 12, 13, EOS], [2, 10, 11]),
]


def model_in_float64(family, pad_id=PAD):
    return with_lora(build_model(family, pad_id=pad_id)).double()


def reward(model, ids):
    """Reward of one unpadded sequence, by transformers' own forward."""
    tokens = torch.tensor([ids])
    return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, 0]


def by_autograd(model, responses):
    """(margins, gradients): one comparison at a time, two plain forward passes."""
    parameters = [
        p
        for linear in trained_linears(model).values()
        for p in linear.parameters()
        if p.requires_grad
    ]
    margins, rows = [], []
    for a, b in responses:
        margin = reward(model, a) - reward(model, b)
        grads = torch.autograd.grad(margin, parameters)
        margins.append(margin.detach())
        rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(margins), torch.stack(rows)


def by_hooks(model, responses, pad_id=PAD):
    gradients = MarginGradients(model)
    found = {}

    def consume(block, grads):
        assert block not in found
        found[block] = grads

    margins = gradients(pad(responses, pad_id), consume)
    return margins, torch.cat([found[name] for name in gradients.blocks], dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_hooks_equal_autograd_of_two_forwards(family):
    # An unpadded sequence that ends in the pad id would be read one token early by
    # transformers, so the reference model pads with an id that never occurs.
    model = model_in_float64(family, pad_id=511)
    margins, grads = by_autograd(model, RAGGED)
    found_margins, found = by_hooks(model, RAGGED)
    torch.testing.assert_close(found_margins, margins, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, grads, rtol=1e-9, atol=1e-12)
    assert found.shape[1] == sum(
        p.numel()
        for n, p in model.named_parameters()
        if "lora_" in n or "modules_to_save" in n
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_pad_equal_to_eos_changes_nothing(family):
    model = model_in_float64(family)
    expected = by_hooks(model, RAGGED)
    model = model_in_float64(family)
    model.get_base_model().config.pad_token_id = EOS
    torch.testing.assert_close(by_hooks(model, RAGGED, pad_id=EOS), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_size_changes_rounding_only(family):
    model = model_in_float64(family)
    _, together = by_hooks(model, RAGGED)
    for i, responses in enumerate(RAGGED):
        _, alone = by_hooks(with_lora(build_model(family)).double(), [responses])
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
    swapped = by_hooks(model, [(b, a) for a, b in RAGGED])
    torch.testing.assert_close(swapped, (-margins, -grads))


def test_hooks_are_gone_afterwards_even_after_an_error():
    model = model_in_float64("llama")
    gradients = MarginGradients(model)

    def refuse(block, grads):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        gradients(pad(RAGGED, PAD), refuse)
    assert not any(m._forward_hooks for m in model.modules())
