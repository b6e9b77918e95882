"""The script that trains a small language model from scratch."""

import subprocess
import sys

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.files import ROOT


@pytest.mark.slow
def test_it_writes_a_model_and_its_tokenizer(tmp_path):
    script = str(ROOT / "scripts" / "small_language_model.py")
    sizes = {"steps": 3, "width": 32, "layers": 1, "vocabulary": 400, "block": 32}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    texts = "generated:answers?pairs=30&seed=0"
    command = [sys.executable, script, "--out", str(tmp_path), "--texts", texts]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "30 texts" in done.stdout
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
