"""An audit of generated data with one biased labeler, and whether it was found.

    inflib demo                            seed 0, into runs/demo
    inflib demo --seed 1 --run runs/demo-1

Any field of recipes/demo.yaml can be changed, but for where the data are: they are
generated into the run folder.
"""

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from inflib.config.loading import with_fields
from inflib.config.recipe import Recipe
from inflib.data.synthetic.one_biased_labeler import generate
from inflib.storage.folder import Folder
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import run_stages

NUM_PAIRS, NUM_QUERIES = 600, 320


def job(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Generate, audit, and add a `demo` object to report/summary.json."""
    started, data = time.monotonic(), Path(recipe.run) / "data"
    changes = {
        "prepare.train.path": str(data / "train.jsonl"),
        "prepare.queries.expert.path": str(data / "expert.jsonl"),
    }
    recipe = with_fields(recipe, changes, "demo")
    planted = generate(data, seed, NUM_PAIRS, NUM_QUERIES)
    run_stages(recipe, STAGES)
    return _judge(recipe, planted, seed, time.monotonic() - started)


def _judge(recipe: Recipe, planted: str, seed: int, seconds: float) -> dict[str, Any]:
    """The summary, with a `demo` object in it."""
    report = Folder(recipe.run) / "report"
    summary = report.read_json("summary.json")
    expert = summary["queries"]["expert"]
    detection = expert["detection"]
    if "demo" not in summary:
        summary["demo"] = {
            "seed": seed,
            "influence_auc": detection[f"influence_{summary['curvature']}"]["auc"],
            "length_difference_auc": detection["length_difference"]["auc"],
            "reward_model_accuracy": summary["accuracy"]["expert"],
            "planted_labeler": planted,
            "top_labeler": expert["groups"]["labeler"][0]["name"],
            "seconds": round(seconds, 1),
        }
        report.write_json("summary.json", summary)
    console = Console(width=100)
    for name, value in summary["demo"].items():
        console.print(f"{name:>24}  {value}", markup=False, highlight=False)
    return summary


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("demo")
