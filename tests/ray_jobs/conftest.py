"""One Ray for all tests of this folder, and a small audit that ran on it."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import yaml

from inflib.config.recipe import Recipe
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs import audit, detect_bias, oversight
from ray_jobs.shared.session import run_stages, start_ray
from tests.support.audits import tiny_recipe
from tests.support.files import ROOT
from tests.support.finished_runs import simulation, study
from tests.support.ports import answers, free_port

RAY = str(Path(sys.executable).with_name("ray"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; those of finished studies are slow."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker("ray")
            if {"studied", "overseen"} & {*getattr(item, "fixturenames", ())}:
                item.add_marker("slow")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate(folder, seed=0, num_pairs=40, num_queries=16)
    return folder


@pytest.fixture(scope="session")
def ray_session(data: Path, llama_folder: str, tmp_path_factory: Any) -> Any:
    os.environ.pop("RAY_ADDRESS", None)
    recipe = tiny_recipe(tmp_path_factory.mktemp("x"), data, llama_folder)
    start_ray(recipe)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def audited(ray_session: Any, data: Path, llama_folder: str, folder: Path) -> Recipe:
    """The recipe of a finished audit; tests must leave its folder as they found it."""
    recipe = tiny_recipe(folder / "audit", data, llama_folder)
    run_stages(recipe, audit.STAGES)
    return recipe


@pytest.fixture(scope="session")
def studied(audited: Recipe, llama_folder: str, folder: Path) -> Recipe:
    """That of a finished bias study, with the audit's reward model."""
    recipe = study(folder / "study", llama_folder, f"{audited.run}/reward_model")
    run_stages(recipe, detect_bias.STAGES)
    return recipe


@pytest.fixture(scope="session")
def overseen(ray_session: Any, llama_folder: str, folder: Path) -> Recipe:
    """That of finished oversight of a simulated labeler."""
    recipe = simulation(folder / "simulation", llama_folder)
    run_stages(recipe, oversight.STAGES)
    return recipe


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where finished runs are."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture(scope="session")
def submitted(
    data: Path, llama_folder: str, tmp_path_factory: Any
) -> tuple[Recipe, str]:
    """(recipe of an audit submitted to a cluster head, what its job printed)."""
    folder = tmp_path_factory.mktemp("submitted")
    learns: dict[str, Any] = {"train__epochs": 6, "train__learning_rate": 1e-2}
    # Too few labels to hold some out, and smoothed ones have a loss near a coin's.
    learns |= {"train__holdout": 0.0, "train__label_smoothing": 0.0}
    learns["sketch__store_dtype"] = "float32"  # compared with whole gradients
    recipe = tiny_recipe(folder / "run", data, llama_folder, **learns)
    config = folder / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    command = ["python", "-m", "ray_jobs.audit", "--config", str(config)]
    with _head(tmp_path_factory.mktemp("r")) as (address, environment):
        submit = [RAY, "job", "submit", "--address", address, "--working-dir", "."]
        end = time.monotonic() + 60
        while True:
            job = subprocess.run(
                [*submit, "--", *command, "--report.top", "2"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
            )
            # A head's dashboard answers some seconds before its job agent is there.
            if "No available agent" not in job.stderr or time.monotonic() > end:
                break
            time.sleep(1)
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr
    return recipe, job.stdout


@contextmanager
def _head(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Dashboard address and environment of a head node of its own."""
    gcs, dashboard = free_port(), free_port()
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("RAY_ADDRESS", None)
    started = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--num-cpus=2"),
            *(f"--port={gcs}", f"--dashboard-port={dashboard}"),
            "--dashboard-host=127.0.0.1",
            # the usual port may be taken by another Ray of this machine
            f"--dashboard-agent-listen-port={free_port()}",
            f"--temp-dir={folder}",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not answers(dashboard):
            assert time.monotonic() < end, "no dashboard"
            assert started.poll() is None, "ray start ended"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        for process in psutil.Process(started.pid).children(recursive=True):
            process.kill()
        started.kill()
        started.wait()


@pytest.fixture(scope="session")
def judged_run(audited: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A run that is prepared; tests judge it under names and models of their own."""
    run = tmp_path_factory.mktemp("judged") / "run"
    shutil.copytree(Path(audited.run) / "pairs", run / "pairs")
    return audited.model_copy(update={"run": str(run)})
