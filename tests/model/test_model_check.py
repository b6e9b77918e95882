"""A base, an adapter and a tokenizer that do not fit are refused before anything is
computed, in one line that says what to do; what is unusual is said."""

import json
import shutil
import warnings

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AddedToken

from inflib.data.base_match import BASE, describe_base
from inflib.data.tokenizer import load_tokenizer
from inflib.model.adapter import attach, read_adapter
from inflib.model.base_model import load_base
from inflib.model.model_check import check_model
from inflib.numerics.layer_bins import lay_out
from inflib.sketches.gradients import block_sizes
from inflib.storage.folder import Folder
from tests.support.model_checks import (
    change,
    change_weights,
    model,
    refusal,
    with_tokenizer,
)
from tests.support.models import build_model, build_tokenizer, with_lora

pytestmark = pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")


def test_what_fits_is_let_through_in_silence(base, adapter):
    assert check_model(model(base, adapter)) == check_model(model(base)) == []


# 3 The adapter's base


def test_an_adapter_of_another_base_is_refused_unless_told(base, adapter):
    change(adapter, base_model_name_or_path="meta-llama/Llama-3.2-1B")
    said = refusal(model(base, adapter))
    assert "was trained on meta-llama/Llama-3.2-1B, not " in said
    assert "model.adapter_base to any" in said
    assert check_model(model(base, adapter, adapter_base="any")) == []


@pytest.mark.parametrize(
    "name",
    [
        "org/base",
        "/other/place/Base/",
        "/cache/models--org--base/snapshots/0123abcd",
    ],
)
def test_a_copy_of_the_base_under_another_path_is_the_same(name, base, adapter):
    change(adapter, base_model_name_or_path=name)
    assert check_model(model(base, adapter)) == []


def test_a_renamed_copy_is_known_by_the_name_in_its_configuration(base, adapter):
    change(adapter, base_model_name_or_path="org/Tiny-7B")
    config = base / "config.json"
    fields = json.loads(config.read_text()) | {"_name_or_path": "org/Tiny-7B"}
    config.write_text(json.dumps(fields))
    assert check_model(model(base, adapter)) == []


def test_a_digest_of_the_base_decides_whatever_its_name(base, adapter, tmp_path):
    (adapter / BASE).write_text(json.dumps(describe_base(model(base))))
    change(adapter, base_model_name_or_path="somewhere/else")
    shutil.copytree(base, tmp_path / "copy" / "renamed")
    assert check_model(model(tmp_path / "copy" / "renamed", adapter)) == []
    change_weights_of_base = base / "model.safetensors"
    weights = {n: w + 1e-3 for n, w in load_file(change_weights_of_base).items()}
    save_file(weights, change_weights_of_base, metadata={"format": "pt"})
    said = refusal(model(base, adapter))  # equal shapes, equal name
    assert "whose weights are not those of" in said


# 4 Adapters on the hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub with the adapter org/rm, without a connection."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "hub" / "models--org--rm"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    return folder / "snapshots" / ("0" * 40)


@pytest.mark.parametrize("name", ["org/rm", "hub:org/rm"])
def test_an_adapter_on_the_hub_is_fetched(name, hub, base, adapter):
    with_tokenizer(adapter, chat_template="{{ 1 }}")
    shutil.copytree(adapter, hub)
    assert len(check_model(model(base, name))) == 1
    assert load_tokenizer(model(base, name)).chat_template == "{{ 1 }}"


def test_an_adapter_that_cannot_be_fetched_says_how(hub, base):
    said = refusal(model(base, "org/missing", adapter_revision="v2"))
    assert "run `hf download org/missing --revision v2`" in said


# 5 What an adapter trains

SUPPORTED = [
    {"bias": "lora_only"},
    {"bias": "all"},
    {"use_dora": True},
    {"lora_bias": True},
    {"use_rslora": True, "rank_pattern": {"q_proj": 2}},
    {"modules_to_save": ["embed_tokens", "score"]},
    {"trainable_token_indices": [20, 7]},
    {"target_modules": ["embed_tokens", "q_proj"]},
    {"target_parameters": ["mlp.gate_proj.weight"], "target_modules": ["q_proj"]},
    {"init_lora_weights": "pissa"},
]


def trained(folder, base, **settings):
    """Saves an adapter with random entries; returns its model."""
    fields = {"r": 3, "lora_alpha": 6, "target_modules": "all-linear"} | settings
    config = LoraConfig(task_type=TaskType.SEQ_CLS, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(base, config)
        generator = torch.Generator().manual_seed(1)
        for parameter in peft.parameters():
            if parameter.requires_grad:
                parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
        peft.save_pretrained(folder)
    return peft.eval()


def reward(peft):
    ids = torch.tensor([[20, 50, 51, 7, 60]])
    return peft(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("settings", SUPPORTED, ids=str)
def test_whatever_plain_autograd_can_do_is_let_through(settings, base, tmp_path):
    peft = trained(tmp_path / "adapter", build_model("qwen"), **settings)
    config = model(base, tmp_path / "adapter")
    assert check_model(config) == []
    saved = read_adapter(Folder(str(tmp_path / "adapter")))
    loaded = attach(load_base(config, 0), saved)
    torch.testing.assert_close(reward(loaded), reward(peft))
    sizes = [lay_out(s, 10**6, True) for s in (saved.sizes, block_sizes(loaded))]
    assert sizes[0] == sizes[1]  # else sketching stops, in a worker


def test_resized_embeddings_come_with_the_adapter(base, tmp_path):
    bigger = build_model("qwen")
    bigger.resize_token_embeddings(530, mean_resizing=False)
    trained_with = {"modules_to_save": ["embed_tokens", "score"]}
    peft = trained(tmp_path / "adapter", bigger, **trained_with)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken(f"<extra{i}>") for i in range(30)])
    tokenizer.save_pretrained(tmp_path / "adapter")
    config = model(base, tmp_path / "adapter")
    assert len(load_tokenizer(config)) == 530
    (line,) = check_model(config)
    assert "30 tokens added, 0 changed" in line
    loaded = attach(
        load_base(config, 0), read_adapter(Folder(str(tmp_path / "adapter")))
    )
    torch.testing.assert_close(reward(loaded), reward(peft))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"peft_type": "PROMPT_TUNING"}, "peft_type PROMPT_TUNING"),
        ({"task_type": "CAUSAL_LM"}, "task_type CAUSAL_LM"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens is not supp"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is not supported"),
        ({"init_lora_weights": "corda"}, "init_lora_weights 'corda' changed the base"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4'"),
        ({"r": 5}, "do not fit"),
        ({"target_modules": ["no_such"]}, "cannot be put onto"),
    ],
    ids=str,
)
def test_what_cannot_be_computed_is_named(fields, said, base, adapter):
    change(adapter, **fields)
    assert said in refusal(model(base, adapter))


def test_an_adapter_of_other_shapes_is_named_with_a_tensor(tmp_path, base):
    with_lora(build_model("llama")).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    extra = {n.replace("layers.1", "layers.7"): w + 0 for n, w in weights.items()}
    save_file(weights | extra, path)
    said = refusal(model(base, tmp_path / "adapter"))
    assert "do not fit: " in said and "layers.7" in said and "(and " in said


def test_a_base_that_gives_no_reward_model_is_refused(tmp_path):
    build_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    assert "no reward model can be made of it" in refusal(model(tmp_path))


# 7 Weights that say nothing


@pytest.mark.parametrize("part", ["lora_B", "score"])
def test_an_untrained_adapter_is_refused(base, adapter, part):
    change_weights(adapter, lambda name, w: w * 0 if part in name else w)
    assert "is zero, as before training" in refusal(model(base, adapter))


def test_weights_that_are_not_finite_are_refused(base, adapter):
    change_weights(adapter, lambda name, w: w / 0 if "lora_A" in name else w)
    assert "is not finite" in refusal(model(base, adapter))
