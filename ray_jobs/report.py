"""Stage 5 of 5: influence -> terminal summary and report/summary.json.

inflib report --run runs/demo
"""

import sys
from typing import Any

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.report.console import show
from inflib.report.summary import summarize
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.storage.folder import Folder
from ray_jobs.shared.session import Stage


def report(recipe: Recipe) -> dict[str, Any]:
    """Write report/ of a run and print it; returns the summary."""
    run = Folder(recipe.run)
    stage = Stage("report", run / "report")
    scores = InfluenceFolder.current(recipe).record.inputs
    inputs = digest_of(scores=scores, report=recipe.report.model_dump(mode="json"))
    if stage.is_current(inputs):
        stage.skip(f"complete, see {stage.folder.url}/summary.json")
        return stage.folder.read_json("summary.json")
    summary = summarize(recipe)
    width = None if sys.stdout.isatty() else 160
    show(summary, Console(width=width))
    stage.folder.write_json("summary.json", summary)
    stage.done({}, {"inputs": inputs, "scores": scores})
    return summary


STAGES = [report]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("report")
