"""On a CUDA device: the numbers of the CPU, and the device that the recipe asks for.

Run with `pytest -m gpu`. Speed and other shapes: scripts/gpu_check.py.
"""

import gc

import pytest
import torch

from inflib.benchmarks.fake_gpu import batch_of, gradient_pass
from inflib.benchmarks.gpu import check, sketch_kernels, speed
from inflib.benchmarks.workload import reward_model
from inflib.config.recipe import Recipe
from inflib.model.packing import Unit, pack
from inflib.model.planned_training import PlannedTraining
from inflib.model.preference_trainer import evaluate
from inflib.model.reward import unit_values
from inflib.model.reward_folder import load_reward_model
from inflib.model.training import build_trainer, labels_of
from inflib.sketches.activations import ActivationReader
from inflib.sketches.flat_training import SketchTraining
from inflib.sketches.gradients import UnitGradients, weight_grads
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
PAIRS = [
    {"comparison_id": "c", "prefix": [2, 50], "a": [52, 53, 3], "b": [90, 3]},
    {"comparison_id": "d", "prefix": [2, 70], "a": [71, 3], "b": [81, 82, 83, 3]},
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
    gc.collect()
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


def test_weight_gradients_of_units_of_other_lengths():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(9, 5, generator=generator)
    grads = torch.randn(9, 4, generator=generator)
    bounds = [0, 2, 7, 9]
    expected = weight_grads(inputs, grads, bounds)
    close(weight_grads(inputs.to(GPU), grads.to(GPU), bounds), expected)


@pytest.mark.filterwarnings("ignore")  # of FlexAttention, not compiled
def test_the_check_for_gpus_runs():
    """scripts/gpu_check.py, on a small shape."""
    assert set(check("tiny", "cuda")) > {"max_rel_err_bfloat16_flex_attention"}
    assert sketch_kernels("cuda", 2000, 3)["deterministic"] > 0
    found = speed("tiny", "cuda", 4, 1024, matmul_size=64)
    assert found["peak_memory_gib"] > 0 and found["token_budget"] >= 1


@pytest.mark.filterwarnings("ignore")  # of PEFT, which asks for a fake's address
def test_fake_tensors_tell_the_memory_of_a_batch():
    """As scripts/rehearse_gpu.py has it, beside what the device counts."""
    fake = gradient_pass("tiny", 1024, "cuda", 512)
    sketcher = UnitSketcher(reward_model("tiny", torch.bfloat16, "cuda"), 0, 512, 0)
    batch = batch_of(1024)
    sketcher(batch, 1024)
    gc.collect()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    sketcher(batch, 1024)
    used = (torch.cuda.max_memory_allocated() - before) / 2**30
    assert fake["pairs"] == len(batch)
    told = fake["peak_gib"] - fake["weights_gib"]
    assert 0.75 < told / used < 1.25


def test_a_gpu_that_has_too_little_memory_takes_smaller_batches(monkeypatch):
    sketcher = UnitSketcher(with_lora(build_model("llama")).to(GPU), 0, 512, seed=0)
    expected = sketcher(UNITS, 64)
    compute = sketcher._batch

    def scarce(batch, flat):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(batch, flat)

    monkeypatch.setattr(sketcher, "_batch", scarce)
    found = sketcher(UNITS, 64)
    close(found.sketches, expected.sketches)
    assert found.token_budget < 64


def test_a_worker_is_told_which_of_the_gpus_is_its_own(recipe):
    sketcher = ShardSketcher(with_fields(recipe, 1.0), torch.device("cuda:0"))
    assert sketcher("train", names(recipe)[0]).num_unusable == 0


def test_sketches_in_the_course_of_training(recipe, tmp_path):
    """On the GPU those of the CPU, but for rounding."""
    found = []
    for gpus in (0.0, 1.0):
        asked = with_fields(recipe, gpus, sketch="during", learning_rate=1e-3)
        plan = PlannedTraining.of(asked, {}, None)
        trainer = build_trainer(asked, plan, str(tmp_path / f"{gpus}"), [])
        scratch = tmp_path / f"scratch-{gpus}"
        scratch.mkdir()
        sketching = SketchTraining(asked, trainer, plan.labels, 3, scratch)
        trainer.train()
        found.append(sketching.sketcher.sketched(PAIRS))
    for cpu, gpu in zip(*found, strict=True):
        close(gpu, cpu, 1e-3)
