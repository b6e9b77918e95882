"""One Ray for all tests of this folder, and a small audit that ran on it."""

import os
from pathlib import Path
from typing import Any

import pytest
import ray

from inflib.config import Recipe
from inflib.demo_data import generate
from ray_jobs.audit import STAGES
from ray_jobs.session import run_stages, start_ray


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
        "sketch": {"sketch_size": 16384, "token_budget": 1500},
        "report": {"truth": "wrong", "top": 3},
    }
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = fields
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return Recipe.model_validate(fields)


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
