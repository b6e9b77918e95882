"""Adapters that are changed, and what the checks of a model say of them."""

import json

import pytest
from safetensors.torch import load_file, save_file

from inflib.config.reward_model import ModelConfig
from inflib.model.model_check import check_model
from tests.support.models import build_tokenizer


def model(base, adapter=None, **fields):
    return ModelConfig(base=str(base), adapter=adapter and str(adapter), **fields)


def refusal(config):
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as error:
        check_model(config)
    return str(error.value)


def change(adapter, **fields):
    """Change fields of adapter_config.json."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_weights(adapter, make):
    path = adapter / "adapter_model.safetensors"
    save_file({name: make(name, w) for name, w in load_file(path).items()}, path)


def with_tokenizer(adapter, **fields):
    tokenizer = build_tokenizer()
    for name, value in fields.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(adapter)
    return tokenizer
