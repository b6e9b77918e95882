"""A base in 4 bits: gradients against finite differences, training, and the recipe."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig

import inflib
from inflib.config.recipe import Recipe
from inflib.config.reward_model import ModelConfig
from inflib.config.run_config import bind
from inflib.model.base_model import load_base
from inflib.model.packing import Unit, pack
from inflib.model.planned_training import PlannedTraining
from inflib.model.quantized import is_quantized
from inflib.model.reward import unit_values
from inflib.model.trained_weights import trained_parameters
from inflib.model.training import build_trainer
from inflib.scores.score_run import score_run
from inflib.sketches.binding import bind_sketches
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.storage.folder import Folder
from tests.support.models import with_lora
from tests.support.planned_runs import with_train
from tests.support.prepared_run import ROWS, build_run, sketched
from tests.support.trl_training import reward_trainer

pytest.importorskip("bitsandbytes", reason="make test-quantized installs it")

UNITS = [
    Unit([2, 50, 8, 30], ([51, 52, 3], [90, 3])),
    Unit([2, 17], ([7, 3], [9, 10, 11, 12, 3])),
]


def save_base(folder):
    """A model whose maps bitsandbytes takes on any CPU."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        num_labels=1,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)


def loaded(folder, quantization):
    config = ModelConfig(base=str(folder), quantization=quantization)
    return with_lora(load_base(config, 0))


def values(model, moved=None, by=0.0):
    """float64 margins with the weights moved along a direction."""
    parameters = trained_parameters(model)
    with torch.no_grad():
        for name, direction in (moved or {}).items():
            parameters[name].add_(direction, alpha=by)
        found = unit_values(model, pack(UNITS, True, 0)).double()
        for name, direction in (moved or {}).items():
            parameters[name].sub_(direction, alpha=by)
    return found


def test_gradients_are_finite_differences_of_margins(tmp_path):
    """Which autograd alone cannot tell: a map without a gradient has none in both."""
    save_base(tmp_path)
    model = loaded(tmp_path, "nf4")
    assert is_quantized(model.get_base_model())
    generator = torch.Generator().manual_seed(3)
    for name in ("q_proj.lora_A", "v_proj.lora_B", "up_proj.lora_A"):
        parameters = trained_parameters(model)
        chosen = next(n for n in parameters if "layers.0" in n and name in n)
        shape = parameters[chosen].shape
        direction = {chosen: torch.randn(shape, generator=generator)}
        step = 1e-3
        slope = (values(model, direction, step) - values(model, direction, -step)) / (
            2 * step
        )
        grads: dict[str, torch.Tensor] = {}
        other = loaded(tmp_path, "nf4")
        gradients = UnitSketcher(other, 0, 256, 0).gradients

        def keep(block: str, found: torch.Tensor, grads: dict = grads) -> None:
            grads[block] = found.clone()

        gradients(pack(UNITS, True, 0), keep)
        block = chosen.removesuffix(".weight")
        own = grads[block].double() @ direction[chosen].flatten().double()
        assert slope.abs().max() > 1e-3
        torch.testing.assert_close(own, slope, rtol=0.02, atol=0.02 * slope.abs().max())


def test_margins_are_near_those_of_the_whole_base(tmp_path):
    save_base(tmp_path)
    four, whole = (values(loaded(tmp_path, kind)) for kind in ("nf4", None))
    assert not torch.equal(four, whole)
    assert (four - whole).norm() < 0.3 * whole.norm()


def quantized(folder):
    """Recipe of a prepared run on a base in 4 bits, with an adapter of it."""
    recipe = build_run(folder, ROWS, sketch_size=256)
    base = Path(recipe.model.base)
    save_base(base)
    with_lora(load_base(ModelConfig(base=str(base)), 0)).save_pretrained(
        folder / "adapter"
    )
    fields = recipe.model_dump(mode="json")
    fields["model"]["quantization"] = "nf4"
    return Recipe.model_validate(fields)


def test_it_is_trained_in_float32_and_sketches_are_bound_to_it(tmp_path):
    recipe = quantized(tmp_path)
    fields = recipe.model_dump(mode="json")
    fields["model"]["adapter"] = None
    training = with_train(Recipe.model_validate(fields), holdout=0.0, epochs=1.0)
    plan = PlannedTraining.of(training, {}, None)
    trainer = build_trainer(training, plan, str(tmp_path / "out"), [])
    before = {
        n: p.detach().clone() for n, p in trained_parameters(trainer.model).items()
    }
    trainer.train()
    moved = [
        n
        for n, p in trained_parameters(trainer.model).items()
        if not torch.equal(p, before[n])
    ]
    assert len(moved) == len(before)

    manifest = Path(recipe.run) / "sketches" / "manifest.json"
    manifest.unlink()
    bind_sketches(recipe)
    assert len(sketched(recipe)) == len(ROWS)
    fields["model"] |= {"adapter": recipe.model.adapter, "quantization": None}
    with pytest.raises(ValueError, match="made with quantization = 'nf4', now None"):
        bind_sketches(Recipe.model_validate(fields))


def test_qlora_with_trl_leaves_sketches_behind(tmp_path):
    """TRL makes adapter and head bfloat16 then."""
    recipe = quantized(tmp_path)
    fields = recipe.model_dump(mode="json")
    fields["model"]["adapter"] = None
    recipe = Recipe.model_validate(fields)
    shutil.rmtree(Path(recipe.run) / "sketches")
    bind(recipe)
    trainer = reward_trainer(
        tmp_path / "out",
        model=load_base(recipe.model, 0),
        num_train_epochs=1,
        learning_rate=1e-3,
        bf16=True,
    )
    kinds = {p.dtype for p in trained_parameters(trainer.model).values()}
    assert kinds == {torch.bfloat16}
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    done = Folder(recipe.run).read_json("sketches/done.json")
    assert (done["pairs"], done["after_training"]) == (2 * len(ROWS), 0)
    table, _ = score_run(Folder(recipe.run), recipe.score, ["q"])
    assert np.isfinite(table["influence_gauss_newton_q"].to_numpy()).all()


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    save_base(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = ModelConfig(base=str(tmp_path), quantization="nf4")
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        load_base(config, 0)
