"""An audit of generated data with one biased labeler, and whether it was found.

    python -m ray_jobs.demo                    seed 0, into runs/demo
    python -m ray_jobs.demo --seed 1 --run runs/demo-1

Every recipe field can be overridden as in `ray_jobs.audit`.
"""

import sys
import time
from pathlib import Path

from rich.console import Console

from inflib.config.cli import options
from inflib.config.loading import read_recipe
from inflib.config.recipe import Recipe
from inflib.data.synthetic.one_biased_labeler import generate
from inflib.storage.folder import Folder
from ray_jobs.audit import STAGES
from ray_jobs.shared.session import exit_on_bad_input, run_stages

RECIPE = Path("recipes/demo.yaml")
NUM_PAIRS, NUM_QUERIES = 600, 320


@exit_on_bad_input
def demo() -> None:
    """Generate, audit, and add a `demo` object to report/summary.json."""
    started = time.monotonic()
    given = options(sys.argv[1:])
    seed = int(given.pop("seed", "0"))
    given.setdefault("run", "runs/demo")
    data = Path(given["run"]) / "data"
    given.setdefault("prepare.train.path", str(data / "train.jsonl"))
    given.setdefault("prepare.queries.expert.path", str(data / "expert.jsonl"))
    recipe = read_recipe(RECIPE.read_text(), given, str(RECIPE))
    planted = generate(data, seed, NUM_PAIRS, NUM_QUERIES)
    run_stages(recipe, STAGES)
    _judge(recipe, planted, seed, time.monotonic() - started)


def _judge(recipe: Recipe, planted: str, seed: int, seconds: float) -> None:
    report = Folder(recipe.run) / "report"
    summary = report.read_json("summary.json")
    found = summary["queries"]["expert"]
    detection = found["detection"]
    if "demo" not in summary:
        summary["demo"] = {
            "seed": seed,
            "influence_auc": found["detection"][f"influence_{summary['curvature']}"][
                "auc"
            ],
            "length_difference_auc": detection["length_difference"]["auc"],
            "reward_model_accuracy": summary["accuracy"]["expert"],
            "planted_labeler": planted,
            "top_labeler": found["groups"]["labeler"][0]["name"],
            "seconds": round(seconds, 1),
        }
        report.write_json("summary.json", summary)
    console = Console(width=100)
    for name, value in summary["demo"].items():
        console.print(f"{name:>24}  {value}", markup=False, highlight=False)


if __name__ == "__main__":
    demo()
