"""The last layer works on reward tokens alone, and nothing changes."""

import pytest
import torch

from inflib.model.last_layer import places_only
from inflib.model.packing import Unit, pack
from inflib.model.reward import rewards
from tests.support.models import DECODERS, build_model, with_lora

UNITS = [Unit([2, 50], ([51, 52, 3], [90, 3])), Unit([2], ([7, 3], [9, 10, 11, 3]))]


def tokens_seen(model, batch):
    """{"<layer>.<map>": tokens that it was given} of the first and the last layer."""
    seen = {}
    layers = model.get_base_model().model.layers
    for depth in (0, len(layers) - 1):
        for name in ("q_proj", "k_proj", "o_proj"):
            module = getattr(layers[depth].self_attn, name)
            key = f"{depth}.{name}"
            module.base_layer.register_forward_hook(
                lambda m, args, out, key=key: seen.update({key: args[0].shape[:-1]})
            )
        layers[depth].mlp.down_proj.base_layer.register_forward_hook(
            lambda m, args, out, key=f"{depth}.mlp": seen.update(
                {key: args[0].shape[:-1]}
            )
        )
    rewards(model, batch)
    return {key: shape.numel() for key, shape in seen.items()}


@pytest.mark.parametrize("flat", [False, True])
def test_in_the_last_layer_only_keys_and_values_see_every_token(flat):
    model = with_lora(build_model("llama"))
    model.get_base_model().set_attn_implementation("eager")
    batch = pack(UNITS, flat, pad_id=0)
    num_tokens, num_rewards = batch.input_ids.numel(), len(batch.last)
    assert num_rewards < num_tokens
    assert tokens_seen(model, batch) == {
        "0.q_proj": num_tokens,
        "0.k_proj": num_tokens,
        "0.o_proj": num_tokens,
        "0.mlp": num_tokens,
        "1.q_proj": num_rewards,
        "1.k_proj": num_tokens,
        "1.o_proj": num_rewards,
        "1.mlp": num_rewards,
    }


@pytest.mark.parametrize("family", DECODERS)
def test_rewards_are_those_of_the_whole_layer(family):
    model = with_lora(build_model(family)).double()
    model.get_base_model().set_attn_implementation("eager")
    batch = pack(UNITS, False, pad_id=0)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        expected = model(**inputs).logits[:, 0]
        torch.testing.assert_close(rewards(model, batch), expected)


def test_a_model_without_decoder_layers_gets_no_hooks():
    module = torch.nn.Linear(2, 2)
    with places_only(module, torch.tensor([0])):
        assert not module._forward_hooks
