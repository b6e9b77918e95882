"""Sketches of DPO's margins: as plain autograd of transformers' own logits says."""

import pytest
import torch
from transformers import GPT2Config, GPTNeoXConfig, GraniteConfig

from inflib.model.base_model import CLASSES
from inflib.model.implicit_reward import BETA, check_language_model
from inflib.model.packing import Unit
from tests.support.autograd_sketches import assert_sketches, by_autograd
from tests.support.models import build_model, with_lora

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


def margin(model, unit):
    own = [log_likelihood(model, unit.prefix, tail) for tail in unit.tails]
    with torch.no_grad(), model.disable_adapter():
        base = [log_likelihood(model, unit.prefix, tail) for tail in unit.tails]
    return 2 * ((own[0] - base[0]) - (own[1] - base[1]))


def language_model(family):
    kind = CLASSES["CAUSAL_LM"]
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
    right = by_autograd(language_model(family), UNITS, margin)
    assert right.sketcher._plain is None
    found = right.sketcher(UNITS, 4096)
    torch.testing.assert_close(found.values.float(), right.values, rtol=1e-3, atol=1e-4)
    assert_sketches(found, right)
    assert right.sketches.abs().max() > 1e-3 and right.values.abs().max() > 1e-3


def test_a_head_that_scales_its_logits_is_refused():
    config = GraniteConfig(**SIZE, logits_scaling=4.0)
    with pytest.raises(ValueError, match="scaled by logits_scaling"):
        check_language_model(CLASSES["CAUSAL_LM"].from_config(config))
