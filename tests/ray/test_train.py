"""Training on Ray Train learns; tests/faults interrupts it."""

from pathlib import Path

import pytest
import yaml

from ray_jobs.prepare import prepare
from ray_jobs.session import run_stages
from ray_jobs.train import train
from tests.ray.conftest import tiny_recipe

pytestmark = pytest.mark.slow  # a training with many checkpoints
LONGER = {
    "train__epochs": 4,
    "train__learning_rate": 1e-2,
    "train__saves_per_epoch": 2,
    "train__lora_dropout": 0.1,
}


@pytest.fixture(scope="module")
def undisturbed(ray_session, data, llama_folder, tmp_path_factory):
    recipe = tiny_recipe(
        tmp_path_factory.mktemp("undisturbed"), data, llama_folder, **LONGER
    )
    run_stages(recipe, [prepare, train])
    return recipe


def test_it_learns_and_reports_accuracy_on_every_query_set(undisturbed):
    folder = Path(undisturbed.run) / "reward_model"
    done = yaml.safe_load((folder / "done.json").read_text())
    assert set(done["accuracy"]) == {"expert", "concise"}
    log = yaml.safe_load((folder / "log.json").read_text())
    final = next(entry["train_loss"] for entry in log if "train_loss" in entry)
    assert final < 0.69  # below the loss of a coin
