"""What is asked of an adapter, its base and its tokenizer before all else."""

import json
import shutil

import pytest
import safetensors.torch
import torch

from inflib.config.recipe import ModelConfig
from inflib.data.tokenizer import load_tokenizer, tokenizer_digest, tokenizer_notes
from inflib.model.model_check import BASE_RECORD, check_model
from tests.support.models import TEMPLATE, build_model, build_tokenizer, with_lora


@pytest.fixture
def folders(tmp_path):
    """(base, adapter): a small model with its tokenizer, and a trained adapter."""
    base, adapter = tmp_path / "tiny-llama", tmp_path / "adapter"
    build_model("llama").save_pretrained(base)
    build_tokenizer().save_pretrained(base)
    with_lora(build_model("llama")).save_pretrained(adapter)
    write(adapter, base_model_name_or_path="org/tiny-llama")
    return base, adapter


def write(adapter, **fields):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def model(folders, **fields):
    base, adapter = folders
    return ModelConfig(base=str(base), adapter=str(adapter), **fields)


def test_an_adapter_of_another_base_is_refused_unless_told(folders):
    assert check_model(model(folders)) == []  # a copy of org/tiny-llama
    write(folders[1], base_model_name_or_path="org/other")
    with pytest.raises(ValueError, match="was trained on org/other, not on"):
        check_model(model(folders))
    assert check_model(model(folders, adapter_base="any")) == []


def test_our_own_adapters_know_their_base_by_its_files(folders):
    (folders[1] / BASE_RECORD).write_text(json.dumps({"base_sha256": "0"}))
    with pytest.raises(ValueError, match="base model with other files"):
        check_model(model(folders))


@pytest.mark.parametrize("part", ["lora_B", "score"])
def test_an_untrained_adapter_is_refused(folders, part):
    path = folders[1] / "adapter_model.safetensors"
    weights = safetensors.torch.load_file(path)
    for name, weight in weights.items():
        if part in name:
            weights[name] = torch.zeros_like(weight)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="is zero, as before training"):
        check_model(model(folders))


def test_the_adapters_own_tokenizer_and_template_are_used_and_said(folders):
    own = build_tokenizer()
    own.chat_template = TEMPLATE + "!"
    own.save_pretrained(folders[1])
    tokenizer = load_tokenizer(model(folders))
    assert tokenizer.chat_template == TEMPLATE + "!"
    (note,) = check_model(model(folders))
    assert "the adapter's own tokenizer is used" in note and "chat template" in note
    without = ModelConfig(base=str(folders[0]))
    assert tokenizer_digest(tokenizer) != tokenizer_digest(load_tokenizer(without))
    (folders[1] / "tokenizer.json").unlink()  # a template alone
    (folders[1] / "tokenizer_config.json").unlink()
    assert load_tokenizer(model(folders)).chat_template == TEMPLATE + "!"


def test_a_hub_name_that_cannot_be_fetched_is_told_in_one_line(folders, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = ModelConfig(base=str(folders[0]), adapter="owner/adapter")
    with pytest.raises(
        ValueError, match=r"model\.adapter owner/adapter: no such"
    ) as told:
        load_tokenizer(config)
    assert "\n" not in str(told.value)


def test_a_tokenizer_of_another_model_is_refused(folders):
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([f"new{i}" for i in range(100)])
    shutil.rmtree(folders[1])
    tokenizer.save_pretrained(folders[0])
    with pytest.raises(ValueError, match="embeddings of 512"):
        load_tokenizer(ModelConfig(base=str(folders[0])))


@pytest.mark.parametrize("eos_is_all", [True, False])
def test_a_base_without_a_pad_token_gets_one_that_is_said(folders, eos_is_all):
    tokenizer = build_tokenizer(pad=None)
    if eos_is_all:  # GPT-2, Pythia
        tokenizer.unk_token = tokenizer.bos_token = tokenizer.eos_token
    tokenizer.save_pretrained(folders[0])
    config = ModelConfig(base=str(folders[0]))
    found = load_tokenizer(config)
    assert found.pad_token not in (None, found.eos_token)
    assert any("model.pad_token" in note for note in tokenizer_notes(config))
    chosen = load_tokenizer(ModelConfig(base=str(folders[0]), pad_token="<pad>"))
    assert chosen.pad_token == "<pad>"
    with pytest.raises(ValueError, match=r"model\.pad_token '</s>'"):
        load_tokenizer(ModelConfig(base=str(folders[0]), pad_token="</s>"))


def test_a_chat_template_may_be_given_as_text_or_file(folders, tmp_path):
    text = "{{ messages[0].content }}"
    (tmp_path / "t.jinja").write_text(text)
    for setting in (text, str(tmp_path / "t.jinja")):
        config = ModelConfig(base=str(folders[0]), chat_template=setting)
        assert load_tokenizer(config).chat_template == text
    with pytest.raises(ValueError, match=r"model\.chat_template gone\.jinja: no such"):
        load_tokenizer(ModelConfig(base=str(folders[0]), chat_template="gone.jinja"))
