"""One Ray for all tests of this folder, and a small audit that ran on it."""

import os
import secrets
import shutil
import socket
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

from inflib.config import Recipe
from inflib.demo_data import generate
from ray_jobs.audit import STAGES
from ray_jobs.session import run_stages, start_ray

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker("ray")


def tiny_recipe(run: Path | str, data: Path | str, base: str, **changes: Any) -> Recipe:
    """A recipe that a tiny model goes through in seconds.

    sketch_size exceeds the number of parameters, so that sketching is a rotation and
    the scores can be compared with a computation on whole gradients.
    """
    fields: dict[str, Any] = {
        "run": str(run),
        "prepare": {
            "train": {"path": f"{data}/train.jsonl"},
            "queries": {
                "expert": {"path": f"{data}/expert.jsonl"},
                "concise": {
                    "path": f"{data}/expert.jsonl",
                    "select": "chosen_shorter",
                },
            },
            "max_length": 200,
            "shard_rows": 12,
        },
        "model": {"base": base},
        "train": {
            "epochs": 2,
            "learning_rate": 1e-3,
            "batch_size": 8,
            "micro_batch_size": 8,
            "cpus_per_worker": 1,
        },
        "sketch": {"sketch_size": 16384, "token_budget": 1500, "workers": 1},
        "score": {"damping": [1e-2, 1e-1, 1.0]},  # less takes many more passes
        "report": {"truth": "wrong", "top": 3},
    }
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = fields
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return Recipe.model_validate(fields)


def shown(run: str, *options: str) -> list[list[str]]:
    """Cells of the tables that scripts/show_figures.py prints."""
    script = str(ROOT / "scripts" / "show_figures.py")
    command = [sys.executable, script, *options, run]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in said.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines]


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
def audited(
    ray_session: Any, data: Path, llama_folder: str, tmp_path_factory: Any
) -> Recipe:
    """The recipe of a finished audit; tests must leave its folder as they found it."""
    recipe = tiny_recipe(tmp_path_factory.mktemp("audit") / "run", data, llama_folder)
    run_stages(recipe, STAGES)
    return recipe


@pytest.fixture(scope="session")
def submitted(
    data: Path, llama_folder: str, tmp_path_factory: Any
) -> tuple[Recipe, str]:
    """(recipe of an audit submitted to a cluster head, what its job printed)."""
    folder = tmp_path_factory.mktemp("submitted")
    learns: dict[str, Any] = {"train__epochs": 6, "train__learning_rate": 1e-2}
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
    gcs, dashboard = _free_port(), _free_port()
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
            f"--dashboard-agent-listen-port={_free_port()}",
            f"--temp-dir={folder}",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not _answers(dashboard):
            assert time.monotonic() < end, "no dashboard"
            assert started.poll() is None, "ray start ended"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        for process in psutil.Process(started.pid).children(recursive=True):
            process.kill()
        started.kill()
        started.wait()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def judged_run(audited: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A run that is prepared; tests judge it under names and models of their own."""
    run = tmp_path_factory.mktemp("judged") / "run"
    shutil.copytree(Path(audited.run) / "pairs", run / "pairs")
    return audited.model_copy(update={"run": str(run)})
