"""A tiny base with its tokenizer, and an adapter of it, in folders."""

import pytest

from tests.support.models import build_model, build_tokenizer, with_lora
from tests.support.planned_runs import ROWS
from tests.support.prepared_run import build_run


@pytest.fixture
def base(tmp_path):
    build_model("qwen").save_pretrained(tmp_path / "base")
    build_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapter(tmp_path):
    with_lora(build_model("qwen")).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The recipe of a run whose labels are tossed; tests leave its folder as it is."""
    return build_run(tmp_path_factory.mktemp("run"), ROWS)
