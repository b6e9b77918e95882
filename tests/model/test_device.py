"""Workers without GPUs compute on the CPU, whatever the machine has."""

import pytest
import torch

from inflib.config.recipe import Recipe
from inflib.model.device import worker_device
from inflib.model.planned_training import PlannedTraining
from inflib.model.training import build_trainer
from inflib.sketches.activations import ActivationReader
from inflib.sketches.shard_sketcher import ShardSketcher
from tests.support.prepared_run import ROWS, build_run


@pytest.fixture
def gpus_in_sight(monkeypatch):
    """The machine has GPUs, and this process sees them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_the_recipe_chooses_the_device(gpus_in_sight):
    assert worker_device(0.0) == torch.device("cpu")
    assert worker_device(0.25) == torch.device("cuda")


def test_gpus_that_are_not_there_are_no_cpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"gpus_per_worker is 0\.5, .* no CUDA"):
        worker_device(0.5)
    assert worker_device(0.0) == torch.device("cpu")


def test_every_worker_follows_it(tmp_path, gpus_in_sight):
    recipe = build_run(tmp_path, ROWS)
    assert ShardSketcher(recipe).sketcher.device.type == "cpu"
    reader = ActivationReader(recipe, threads=1)
    assert next(reader.model.parameters()).device.type == "cpu"
    trainer = build_trainer(
        recipe, PlannedTraining.of(recipe, {}, None), f"{recipe.run}/scratch", []
    )
    assert trainer.args.device.type == trainer.accelerator.device.type == "cpu"
    assert {p.device.type for p in trainer.model.parameters()} == {"cpu"}


def with_gpus(recipe: Recipe) -> Recipe:
    fields = recipe.model_dump()
    fields["train"]["gpus_per_worker"] = fields["sketch"]["gpus_per_worker"] = 1.0
    return Recipe.model_validate(fields)


def test_a_worker_whose_gpu_is_missing_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    recipe = with_gpus(build_run(tmp_path, ROWS))
    with pytest.raises(ValueError, match="finds no CUDA device"):
        ShardSketcher(recipe)
    with pytest.raises(ValueError, match="finds no CUDA device"):
        ActivationReader(recipe, threads=1)
    with pytest.raises(ValueError, match="finds no CUDA device"):
        build_trainer(
            recipe, PlannedTraining.of(recipe, {}, None), f"{recipe.run}/scratch", []
        )


def trainer_of(recipe: Recipe, folder: str):
    return build_trainer(recipe, PlannedTraining.of(recipe, {}, None), folder, [])
