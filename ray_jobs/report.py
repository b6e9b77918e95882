"""Stage 5 of 5: influence -> terminal summary and report/summary.json.

python -m ray_jobs.report --run runs/demo
"""

import sys

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.report.console import show
from inflib.report.summary import summarize
from inflib.scores.influence_folder import score_inputs
from inflib.storage.folder import Folder
from ray_jobs.shared.session import Stage, main


def report(recipe: Recipe) -> None:
    """Write report/ of a run and print it; printed again when it is complete."""
    run = Folder(recipe.run)
    stage = Stage("report", run / "report")
    inputs = (run / "influence").read_json("done.json")["inputs"]
    if inputs != score_inputs(run, recipe):
        raise ValueError(
            f"{run.url}/influence is older than the labels, sketches or settings it "
            "would be reported with (inputs differs): run ray_jobs.score first"
        )
    about = {
        "inputs": inputs,
        "config": recipe.report.model_dump(mode="json"),
    }
    if stage.folder.exists("done.json"):
        done = stage.folder.read_json("done.json")
        if all(done[name] == value for name, value in about.items()):
            return stage.skip(f"complete, see {stage.folder.url}/summary.json")
    summary = summarize(recipe)
    width = None if sys.stdout.isatty() else 160
    show(summary, Console(width=width))
    stage.folder.write_json("summary.json", summary)
    stage.done({}, about)


if __name__ == "__main__":
    main(__doc__, [report])
