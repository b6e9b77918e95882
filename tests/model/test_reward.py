"""Rewards equal those of transformers' forward; the known traps are avoided."""

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model

from inflib.config.reward_model import ModelConfig
from inflib.data.tokenizer import load_tokenizer, resolve_base
from inflib.model.adapter import attach, read_adapter
from inflib.model.base_model import load_base
from inflib.model.packing import Unit, pack
from inflib.model.reward import hidden_states, rewards, unit_values
from inflib.model.trained_weights import trained_blocks
from inflib.storage.folder import Folder
from tests.support.models import FAMILIES, build_model, build_tokenizer, with_lora

UNITS = [Unit([2, 50], ([51, 52, 3], [90, 3])), Unit([2], ([7, 3], [9, 10, 11, 12, 3]))]


@pytest.mark.parametrize("family", FAMILIES)
def test_margins_equal_transformers_forward(family):
    model = with_lora(build_model(family)).double()
    batch = pack(UNITS, False, pad_id=0)
    with torch.no_grad():
        logits = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).logits[:, 0]
        torch.testing.assert_close(
            unit_values(model, batch), logits[0::2] - logits[1::2]
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_equal_transformers_at_the_reward_token(family):
    model = with_lora(build_model(family)).double()
    rows = pack(UNITS, False, pad_id=0)
    with torch.no_grad():
        layers = model(
            input_ids=rows.input_ids,
            attention_mask=rows.attention_mask,
            output_hidden_states=True,
        ).hidden_states[1:]
        places = rows.last % rows.input_ids.shape[1]
        if not hasattr(model.get_base_model(), "score"):
            places = torch.zeros_like(places)  # an encoder reads its first token
        expected = torch.stack([x[torch.arange(len(x)), places] for x in layers])
        torch.testing.assert_close(hidden_states(model, rows), expected)
        if hasattr(model.get_base_model(), "score"):
            flat = pack(UNITS, True, pad_id=0)
            torch.testing.assert_close(hidden_states(model, flat), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_reward_model_comes_back_head_and_all(family, tmp_path):
    model = with_lora(build_model(family))
    model.get_base_model().save_pretrained(tmp_path / "unused")
    build_model(family).save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    for seed in (5, 6):  # whatever random head the base comes with
        torch.manual_seed(seed)
        base = load_base(ModelConfig(base=str(tmp_path / "base")), pad_id=0)
        loaded = attach(base, read_adapter(Folder(str(tmp_path / "adapter"))))
        batch = pack(UNITS, False, pad_id=0)
        torch.testing.assert_close(rewards(loaded, batch), rewards(model, batch))
        assert not loaded.training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bfloat16_base_keeps_the_head_in_float32(family, tmp_path):
    model = with_lora(build_model(family))
    build_model(family).save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    config = ModelConfig(base=str(tmp_path / "base"), dtype="bfloat16")
    base = load_base(config, pad_id=0)
    loaded = attach(base, read_adapter(Folder(str(tmp_path / "adapter"))))
    dtypes = {
        name: linear.weight.dtype for name, linear in trained_blocks(loaded).items()
    }
    lora = {dtype for name, dtype in dtypes.items() if "lora_" in name}
    head = {dtype for name, dtype in dtypes.items() if "lora_" not in name}
    assert (lora, head) == ({torch.bfloat16}, {torch.float32})
    batch = pack(UNITS, False, pad_id=0)
    loaded_rewards = rewards(loaded, batch)
    assert loaded_rewards.dtype == torch.float32
    # bfloat16 keeps 8 bits; errors of some ten layers of rounding
    torch.testing.assert_close(
        loaded_rewards, rewards(model, batch), rtol=0.1, atol=0.05
    )


def test_rewards_do_not_depend_on_the_padding():
    model = with_lora(build_model("llama")).double()
    batch = pack(UNITS, False, pad_id=0)
    wide = pack([*UNITS, Unit([2], ([2] * 30, [3] * 30))], False, pad_id=7)
    torch.testing.assert_close(rewards(model, wide)[:4], rewards(model, batch))


def test_every_module_with_trained_parameters_is_a_block():
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=2, target_modules=["q_proj"], use_dora=True
    )
    blocks = trained_blocks(get_peft_model(build_model("llama"), config))
    kinds = {name.split(".")[-2] for name in blocks}
    assert kinds == {"lora_A", "lora_B", "lora_magnitude_vector", "modules_to_save"}
    frozen = build_model("llama").requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameters"):
        trained_blocks(frozen)


@pytest.mark.parametrize("pad_token", [None, "</s>"])
def test_the_tokenizer_never_pads_with_eos(tmp_path, pad_token):
    build_tokenizer(pad_token).save_pretrained(tmp_path)
    build_model("llama").config.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(ModelConfig(base=str(tmp_path)))
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert tokenizer.padding_side == "right"


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(
        ValueError, match="no Python package no_such_weights is installed"
    ):
        resolve_base("package:no_such_weights/model")


def test_a_base_that_is_to_be_shared_needs_workers_to_share_it():
    config = ModelConfig(base="not/read", sharded_over=2)
    with pytest.raises(ValueError, match="is for the stages train and sketch"):
        load_base(config, pad_id=0)
