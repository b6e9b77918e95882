"""Training on Ray Train: it learns, and survives a killed worker or driver."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from ray_jobs.prepare import prepare
from ray_jobs.session import run_stages
from ray_jobs.train import train
from tests.ray.conftest import tiny_recipe

pytestmark = pytest.mark.slow  # four trainings with many checkpoints, a second Ray
ROOT = Path(__file__).parents[2]
LONGER = {
    "train__epochs": 4,
    "train__learning_rate": 1e-2,
    "train__saves_per_epoch": 2,
    "train__lora_dropout": 0.1,  # its random numbers must resume as well
}


def adapter(recipe):
    return (
        Path(recipe.run) / "reward_model" / "adapter_model.safetensors"
    ).read_bytes()


def wait_for_checkpoint(recipe, seconds=120):
    """Until the second checkpoint is there, well before the last of 8."""
    folder = Path(recipe.run) / "reward_model" / "checkpoints"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(list(folder.glob("checkpoint_*/checkpoint/trainer_state.json"))) > 1:
            return
        time.sleep(0.02)
    raise TimeoutError(f"no checkpoint in {folder}")


@pytest.fixture(scope="module")
def undisturbed(ray_session, data, llama_folder, tmp_path_factory):
    recipe = tiny_recipe(
        tmp_path_factory.mktemp("undisturbed"), data, llama_folder, **LONGER
    )
    run_stages(recipe, [prepare, train])
    return recipe


def test_a_killed_worker_resumes_to_the_same_bits(
    undisturbed, data, llama_folder, tmp_path
):
    recipe = tiny_recipe(tmp_path, data, llama_folder, **LONGER)
    run_stages(recipe, [prepare])
    killed = []

    def kill():
        wait_for_checkpoint(recipe)
        for process in psutil.process_iter(["cmdline"]):
            title = " ".join(process.info["cmdline"] or [])
            if "RayTrainWorker" in title and ours(process):
                process.kill()
                killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    run_stages(recipe, [train])
    killer.join()
    assert len(killed) == 1
    assert adapter(recipe) == adapter(undisturbed)


def ours(process):
    """Whether this test session's Ray started the process."""
    return os.getpid() in {parent.pid for parent in process.parents()}


def test_a_killed_driver_resumes_to_the_same_bits(
    undisturbed, data, llama_folder, tmp_path
):
    recipe = tiny_recipe(tmp_path / "run", data, llama_folder, **LONGER)
    run_stages(recipe, [prepare])
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    command = [sys.executable, "-m", "ray_jobs.train", "--config", str(config)]
    driver = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_for_checkpoint(recipe)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    assert not (Path(recipe.run) / "reward_model" / "done.json").exists()
    run_stages(recipe, [train])
    assert adapter(recipe) == adapter(undisturbed)


def test_it_learns_and_reports_accuracy_on_every_query_set(undisturbed):
    folder = Path(undisturbed.run) / "reward_model"
    done = yaml.safe_load((folder / "done.json").read_text())
    assert set(done["accuracy"]) == {"expert", "concise"}
    log = yaml.safe_load((folder / "log.json").read_text())
    final = next(entry["train_loss"] for entry in log if "train_loss" in entry)
    assert final < 0.69  # below the loss of a coin
