"""Sketches of DPO's margins: as plain autograd of transformers' own logits says."""

import pytest
import torch
from transformers import GPT2Config, GPTNeoXConfig, GraniteConfig

from inflib.model.implicit_reward import BETA, check_language_model
from inflib.model.packing import Unit
from inflib.sketches.unit_sketcher import UnitSketcher
from tests.support.models import MODELS, build_model, with_lora

UNITS = [
    Unit([20, 50, 51], ([52, 53, 60, 7], [90, 7])),
    Unit([20, 70], ([71, 7], [81, 82, 83, 84, 85, 86, 7])),
    Unit([31], ([30, 31, 7], [40])),
]
SIZE = {"vocab_size": 128, "hidden_size": 24, "num_attention_heads": 4}
SIZE |= {"num_hidden_layers": 2, "intermediate_size": 40, "pad_token_id": 0}
OTHERS = {
    "gpt2": GPT2Config(vocab_size=128, n_embd=24, n_head=4, n_layer=2, pad_token_id=0),
    "gpt_neox": GPTNeoXConfig(**SIZE),
}


def log_likelihood(model, prefix, tail):
    logits = model(input_ids=torch.tensor([prefix + tail])).logits[0]
    log_probs = logits.log_softmax(1)
    return sum(log_probs[len(prefix) - 1 + i, token] for i, token in enumerate(tail))


def language_model(family):
    kind = MODELS["CAUSAL_LM"]
    if family in OTHERS:
        torch.manual_seed(0)
        base = kind.from_config(OTHERS[family])
    else:
        base = build_model(family, kind=kind)
    if family == "gemma2":
        base.config._attn_implementation = "eager"
    setattr(base, BETA, 2.0)
    return with_lora(base, task="CAUSAL_LM")


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma", "gemma2", *OTHERS])
def test_sketches_are_those_of_autograd(family):
    model = language_model(family)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    margins, rows = [], []
    for unit in UNITS:
        own = [log_likelihood(model, unit.prefix, tail) for tail in unit.tails]
        grads = torch.autograd.grad(2 * (own[0] - own[1]), [*named.values()])
        with torch.no_grad(), model.disable_adapter():
            base = [log_likelihood(model, unit.prefix, tail) for tail in unit.tails]
        margin = (own[0] - base[0]) - (own[1] - base[1])
        margins.append(2 * margin.item())
        rows.append(dict(zip(named, grads, strict=True)))
    sketcher = UnitSketcher(model, 0, sketch_size=4096, seed=0)
    assert sketcher._plain is None
    found = sketcher(UNITS, 4096)
    expected = torch.zeros(len(UNITS), 4096)
    for block in sketcher.gradients.blocks:
        weights = torch.stack([row[f"{block}.weight"].flatten() for row in rows])
        sketcher.oporp.add(expected, block, weights)
    torch.testing.assert_close(
        found.values, torch.tensor(margins).double(), rtol=1e-3, atol=1e-4
    )
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.sketches, expected, rtol=1e-3, atol=1e-4 * scale)
    assert scale > 1e-3 and max(map(abs, margins)) > 1e-3


def test_a_head_that_scales_its_logits_is_refused():
    config = GraniteConfig(**SIZE, logits_scaling=4.0)
    with pytest.raises(ValueError, match="scaled by logits_scaling"):
        check_language_model(MODELS["CAUSAL_LM"].from_config(config))
