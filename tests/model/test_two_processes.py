"""Training by two processes that die in the middle of an epoch."""

import subprocess
import sys

import pytest

from inflib.config.recipe import Recipe
from tests.support.files import ROOT
from tests.support.planned_runs import ROWS, with_train
from tests.support.ports import free_port
from tests.support.prepared_run import build_run


@pytest.mark.slow
def test_a_training_goes_on_in_the_middle_of_an_epoch(tmp_path):
    fields = build_run(tmp_path, ROWS[:74]).model_dump(mode="json")
    fields["model"]["adapter"] = None
    recipe = with_train(
        Recipe.model_validate(fields),
        workers=2,
        batch_size=8,
        micro_batch_size=2,
        holdout=0.0,
        saves_per_epoch=2,
        keep=1.0,
        learning_rate=1e-3,
    )
    config = tmp_path / "recipe.json"
    config.write_text(recipe.model_dump_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_port", str(free_port()), "-m", "tests.support.two_processes"]
    done = subprocess.run(
        [*command, str(tmp_path), str(config)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
