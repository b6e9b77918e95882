"""Recipes of audits that take seconds, and what a finished one holds."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from inflib.config.recipe import Recipe
from tests.support.files import ROOT


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
        "report": {"truth": "wrong", "top": 3, "min_labels": 1},
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


def copied(audited, tmp_path, *parts, **changes):
    """A new run with some folders of the finished one."""
    for part in parts:
        shutil.copytree(Path(audited.run) / part, tmp_path / "run" / part)
    recipe = audited.model_dump(mode="json") | {"run": str(tmp_path / "run")}
    for stage, fields in changes.items():
        recipe[stage] = recipe[stage] | fields
    return type(audited).model_validate(recipe)


def influences(recipe):
    return pq.read_table(Path(recipe.run) / "influence" / "influence.parquet")


def payload(recipe, shard):
    """Path of a shard's sketches."""
    (found,) = (Path(recipe.run) / "sketches" / "train").glob(f"{shard}-*.npy")
    return found
