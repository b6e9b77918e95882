"""Try an audit on made-up data with one biased labeler.

    inflib demo                            seed 0, into runs/demo
    inflib demo --seed 1 --run runs/demo-1

Generates data into the run folder, runs all stages of an audit with recipes/demo.yaml,
and prints whether influence finds the labeler, how well influence and the length of
responses find the wrong labels (AUC), and the address of the page to look at them.
Every field of the recipe can be changed, except for the paths of the data.
"""

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from inflib.config.loading import with_fields
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder
from inflib.synthetic.one_biased_labeler import generate
from ray_jobs.audit import STAGES
from ray_jobs.report import page_address
from ray_jobs.shared.session import run_stages

NUM_PAIRS, NUM_QUERIES = 600, 320


def job(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Generate data and audit them; returns report/summary.json with a `demo` object.

    The object says whether influence found the planted labeler; it is printed too.
    """
    started, data = time.monotonic(), Path(recipe.run) / "data"
    changes = {
        "prepare.train.path": str(data / "train.jsonl"),
        "prepare.queries.expert.path": str(data / "expert.jsonl"),
    }
    recipe = with_fields(recipe, changes, "demo")
    planted = generate(data, seed, NUM_PAIRS, NUM_QUERIES)
    run_stages(recipe, STAGES)
    return _add_demo(recipe, planted, seed, time.monotonic() - started)


def _add_demo(
    recipe: Recipe, planted: str, seed: int, seconds: float
) -> dict[str, Any]:
    """The summary with its `demo` object, which is added unless it is there.

    planted: the biased labeler's name.
    """
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
    _say_next(recipe.run, planted)
    return summary


def _say_next(run: str, planted: str) -> None:
    """Print how to go on: look, decide, export, retrain; the page's address last."""
    clean = f"{run}/clean.jsonl"
    print(
        "\nNext: look at labels on the page, decide, and save decisions.csv there; or "
        "take a rule:\n"
        f"  inflib export --run {run} --to {clean} "
        f"--flip \"labeler == '{planted}' and significant\"\n"
        "Retrain with exactly these decisions, and with as many random ones:\n"
        f"  inflib verify --run {run} --decisions {run}/clean.decisions.csv\n"
        f"The page: {page_address(Folder(run))}"
    )


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("demo")
