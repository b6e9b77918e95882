"""Adapters whose rewards would be wrong are refused, and say why."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from inflib.model.adapter import attach, read_adapter
from inflib.model.base_model import CLASSES
from inflib.storage.folder import Folder
from tests.support.models import build_model, with_lora


def test_an_adapter_without_its_score_head_is_refused(tmp_path):
    with_lora(build_model("llama")).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "score" not in name}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="no score head"):
        read_adapter(Folder(str(tmp_path)))


def test_a_folder_that_is_no_adapter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a PEFT adapter"):
        read_adapter(Folder(str(tmp_path)))


def language_adapter(folder):
    """The folder, with a language model's adapter in it."""
    model = build_model("llama", kind=CLASSES["CAUSAL_LM"])
    with_lora(model, task="CAUSAL_LM").save_pretrained(folder)
    return Folder(str(folder))


def test_an_adapter_of_another_task_is_refused_with_the_option(tmp_path):
    with pytest.raises(ValueError, match=r"CAUSAL_LM; .* model.margin dpo"):
        read_adapter(language_adapter(tmp_path))
    with_lora(build_model("llama")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"SEQ_CLS; .* model.margin reward"):
        read_adapter(Folder(str(tmp_path)), "CAUSAL_LM")


def test_an_adapter_without_a_task_may_be_a_language_models(tmp_path):
    folder = language_adapter(tmp_path)
    fields = json.loads(folder.read_bytes("adapter_config.json"))
    folder.write_json("adapter_config.json", fields | {"task_type": None})
    assert read_adapter(folder, "CAUSAL_LM").sizes
    with pytest.raises(ValueError, match="task_type None"):
        read_adapter(folder)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_an_adapter_that_trains_the_language_models_head_is_refused(tmp_path):
    model = build_model("llama", kind=CLASSES["CAUSAL_LM"])
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["lm_head"])
    get_peft_model(model, config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="brings the language model's head"):
        read_adapter(Folder(str(tmp_path)), "CAUSAL_LM")


def test_a_reference_that_is_not_the_base_is_refused(tmp_path):
    """TRL saves the adapter that DPO's reference had beside the trained one."""
    folder = language_adapter(tmp_path)
    language_adapter(tmp_path / "ref")
    with pytest.raises(ValueError, match=r"ref: DPO's reference was an adapter"):
        read_adapter(folder, "CAUSAL_LM")
    path = tmp_path / "ref" / "adapter_model.safetensors"
    zero = {n: w * ("lora_B" not in n) for n, w in load_file(path).items()}
    save_file(zero, path)
    assert read_adapter(folder, "CAUSAL_LM").sizes
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"ref/adapter_model.safetensors: not a whole"):
        read_adapter(folder, "CAUSAL_LM")


def test_an_adapter_in_a_pickle_is_refused(tmp_path):
    with_lora(build_model("llama")).save_pretrained(tmp_path)
    Path(tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ValueError, match="safetensors"):
        read_adapter(Folder(str(tmp_path)))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("adapter_config.json", lambda whole: whole[:20]),
        ("adapter_config.json", lambda whole: b"[1]"),
        ("adapter_model.safetensors", lambda whole: whole[:-10]),
        ("adapter_model.safetensors", lambda whole: b"version https://git-lfs"),
        ("adapter_model.safetensors", lambda whole: b""),
        ("adapter_model.safetensors", lambda whole: b"\xff" * 8 + whole[8:]),
        ("adapter_model.safetensors", lambda whole: b"\x02" + bytes(7) + b"[]"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, damage):
    with_lora(build_model("llama")).save_pretrained(tmp_path)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{file}: not a (JSON|whole)"):
        read_adapter(Folder(str(tmp_path)))


def test_sizes_in_the_file_sum_to_the_trained_parameters(tmp_path):
    model = with_lora(build_model("llama"))
    model.save_pretrained(tmp_path)
    num_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(read_adapter(Folder(str(tmp_path))).sizes.values()) == num_trained


def test_an_adapter_of_another_model_is_refused(tmp_path):
    with_lora(build_model("llama")).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    weights = load_file(path)
    renamed = {
        name.replace("layers.1.", "layers.7."): weights[name] for name in weights
    }
    save_file(renamed, path)
    with pytest.raises(ValueError, match=r"do not fit: .*layers"):
        attach(build_model("llama"), read_adapter(Folder(str(tmp_path))))
