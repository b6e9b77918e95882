"""Training by two processes that die in the middle of an epoch."""

import subprocess
import sys

import pytest

from inflib.config.recipe import Recipe
from tests.support.files import ROOT
from tests.support.planned_runs import ROWS, with_train
from tests.support.ports import free_port
from tests.support.prepared_run import build_run


def processes(module, folder, recipe):
    """Run a module of tests.support by two processes; returns what they printed."""
    config = folder / "recipe.json"
    config.write_text(recipe.model_dump_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_port", str(free_port()), "-m", f"tests.support.{module}"]
    done = subprocess.run(
        [*command, str(folder), str(config)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, _traceback(done.stderr)
    return done.stdout


def _traceback(printed):
    """Of the processes themselves, not of what launched them."""
    lines = printed.splitlines()
    return "\n".join([line for line in lines if line.startswith("[rank")][-60:])


def by_two(recipe, **train):
    return with_train(
        recipe,
        workers=2,
        batch_size=8,
        micro_batch_size=2,
        saves_per_epoch=2,
        keep=1.0,
        learning_rate=1e-3,
        **train,
    )


@pytest.mark.slow
def test_a_training_goes_on_in_the_middle_of_an_epoch(tmp_path):
    fields = build_run(tmp_path, ROWS[:74]).model_dump(mode="json")
    fields["model"]["adapter"] = None
    recipe = by_two(Recipe.model_validate(fields), holdout=0.0)
    processes("two_processes", tmp_path, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_processes_that_share_a_base_compute_what_each_would_alone(family, tmp_path):
    run = build_run(tmp_path, ROWS, family=family)
    anew = family == "llama"  # activations, in the backward pass
    recipe = by_two(run, holdout=0.3, lora_dropout=0.1, gradient_checkpointing=anew)
    assert "all the same" in processes("sharded_processes", tmp_path, recipe)
