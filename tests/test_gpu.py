"""On a CUDA device: the numbers of the CPU, and the device that the recipe asks for.

Run with `pytest -m gpu`. Speed and other shapes: scripts/gpu_check.py.
"""

import pytest
import torch

from inflib.config.recipe import Recipe
from inflib.model.packing import Unit, pack
from inflib.model.planned_training import PlannedTraining
from inflib.model.preference_trainer import evaluate
from inflib.model.reward import unit_values
from inflib.model.reward_folder import load_reward_model
from inflib.model.training import build_trainer, labels_of
from inflib.sketches.activations import ActivationReader
from inflib.sketches.gradients import UnitGradients
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.sketches.unit_sketcher import UnitSketcher
from tests.support.models import build_model, with_lora
from tests.support.prepared_run import ROWS, build_run, names

pytestmark = pytest.mark.gpu
GPU, CPU = torch.device("cuda"), torch.device("cpu")
FLOAT32 = 1e-4
"""Relative error allowed between two orders of float32 sums: a thousand roundings."""

BFLOAT16 = 0.1
"""Of a margin, relative to the largest: 8 bits through two layers."""

UNITS = [
    Unit([2, 50, 51], ([52, 53, 60, 3], [90, 3])),
    Unit([2, 70], ([71, 3], [81, 82, 83, 84, 85, 86, 3])),
    Unit([], ([20, 21, 3], [30, 31, 32, 33, 34, 3])),
]
FORMS = [("llama", False), ("llama", True), ("qwen", True), ("bert", False)]


def close(actual, expected, share=FLOAT32):
    """Assert that two tensors differ by at most this share of the largest entry."""
    error = (actual.cpu() - expected.cpu()).abs().max()
    assert error <= share * expected.abs().max()


def with_fields(recipe, gpus, **train):
    """The recipe with so many GPUs per worker."""
    fields = recipe.model_dump()
    fields["train"] |= {"epochs": 1.0, "batch_size": 4, "micro_batch_size": 4}
    fields["train"] |= {"lora_dropout": 0.0, "gpus_per_worker": gpus, **train}
    fields["sketch"]["gpus_per_worker"] = gpus
    return Recipe.model_validate(fields)


@pytest.fixture
def recipe(tmp_path):
    return build_run(tmp_path, ROWS, store_dtype="float32")


@pytest.mark.parametrize(("family", "flat"), FORMS)
def test_margins_and_gradients_are_those_of_the_cpu(family, flat):
    results = []
    for device in (CPU, GPU):
        gradients = UnitGradients(with_lora(build_model(family)).to(device))
        blocks: dict[str, torch.Tensor] = {}
        batch = pack(UNITS, flat, 0).to(device)
        results.append((gradients(batch, blocks.__setitem__), blocks))
    (margins, blocks), (gpu_margins, gpu_blocks) = results
    assert gpu_margins.device.type == GPU.type
    close(gpu_margins, margins)
    assert gpu_blocks.keys() == blocks.keys()
    for name, grads in blocks.items():
        close(gpu_blocks[name], grads)


def test_sketches_are_those_of_the_cpu_and_the_same_twice():
    cpu, gpu, again = (
        UnitSketcher(with_lora(build_model("llama")).to(device), 0, 512, seed=0)
        for device in (CPU, GPU, GPU)
    )
    expected, found, twice = (each(UNITS, 64) for each in (cpu, gpu, again))
    assert found.sketches.device.type == GPU.type
    close(found.values, expected.values)
    close(found.sketches, expected.sketches)
    assert torch.equal(found.sketches, twice.sketches)
    budget = gpu.fitting_budget(longest=100)
    assert budget >= 4096 and budget.bit_count() == 1


def test_a_bfloat16_base_loads_onto_the_gpu(recipe):
    fields = recipe.model_dump()
    fields["model"]["dtype"] = "bfloat16"
    half, _ = load_reward_model(Recipe.model_validate(fields), GPU)
    whole, _ = load_reward_model(recipe, CPU)
    assert {p.device.type for p in half.parameters()} == {GPU.type}
    dtypes = {name: p.dtype for name, p in half.named_parameters()}
    assert {d for n, d in dtypes.items() if "lora_" in n} == {torch.bfloat16}
    assert {d for n, d in dtypes.items() if "modules_to_save" in n} == {torch.float32}
    with torch.no_grad():
        expected = unit_values(whole, pack(UNITS, True, 0))
        found = unit_values(half, pack(UNITS, True, 0).to(GPU))
    close(found.float(), expected, BFLOAT16)


def test_training_steps_are_those_of_the_cpu(recipe):
    losses = []
    for gpus, device in ((0.0, CPU), (1.0, GPU)):
        asked = with_fields(recipe, gpus, learning_rate=1e-3)
        trainer = build_trainer(
            asked, PlannedTraining.of(asked, {}, None), f"{asked.run}/{device.type}", []
        )
        trainer.train()
        assert trainer.state.global_step == 3
        assert {p.device.type for p in trainer.model.parameters()} == {device.type}
        losses.append(evaluate(trainer, labels_of(asked, "q")).loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_workers_with_a_gpu_use_it(recipe):
    asked = with_fields(recipe, 1.0)
    sketcher = ShardSketcher(asked)
    assert sketcher.sketcher.device.type == GPU.type
    receipt = sketcher("train", names(asked)[0])
    assert receipt.num_unusable == 0
    assert ActivationReader(asked, threads=1).device.type == GPU.type


def test_workers_without_gpus_use_the_cpu(recipe):
    asked = with_fields(recipe, 0.0)
    before = torch.cuda.memory_allocated()
    sketcher = ShardSketcher(asked)
    sketcher("train", names(asked)[0])
    assert sketcher.sketcher.device.type == CPU.type
    reader = ActivationReader(asked, threads=1)
    assert next(reader.model.parameters()).device.type == CPU.type
    trainer = build_trainer(
        asked, PlannedTraining.of(asked, {}, None), f"{asked.run}/scratch", []
    )
    trainer.train()
    assert {p.device.type for p in trainer.model.parameters()} == {CPU.type}
    assert torch.cuda.memory_allocated() == before


def trainer_of(recipe: Recipe, folder: str):
    return build_trainer(recipe, PlannedTraining.of(recipe, {}, None), folder, [])
