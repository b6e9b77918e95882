"""A tiny base with its tokenizer, and an adapter of it, in folders."""

import pytest

from tests.support.models import build_model, build_tokenizer, with_lora


@pytest.fixture
def base(tmp_path):
    build_model("qwen").save_pretrained(tmp_path / "base")
    build_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapter(tmp_path):
    with_lora(build_model("qwen")).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"
