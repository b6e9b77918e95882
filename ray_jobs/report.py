"""Stage 5 of 5: influence -> tables in the terminal, summary.json.

    inflib report --run runs/demo
    inflib report --run runs/demo --report.top 50

Says for which query sets the scores can be acted on, shows the labels that harm each of
them most, and the labelers whose labels do, and writes report/summary.json. Rerun with
other report options; no score is computed again.
"""

from typing import Any

from inflib.config.recipe import Recipe
from inflib.report.console import show
from inflib.report.summary import FORMAT, summarize
from inflib.report.tables import console
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.storage.folder import Folder
from ray_jobs.shared.stage import Stage


def report(recipe: Recipe) -> dict[str, Any]:
    """Write report/ of a run and print it; returns summary.json.

    Raises ValueError when the scores are not of the run's labels, sketches or settings.
    """
    run = Folder(recipe.run)
    stage = Stage("report", run / "report")
    scores = InfluenceFolder.current(recipe).record.inputs
    settings = recipe.report.model_dump(mode="json")
    inputs = digest_of(scores=scores, report=settings, format=FORMAT)
    if stage.is_current(inputs):
        summary = stage.folder.read_json("summary.json")
        show(summary, console())
        stage.skip(f"complete, see {stage.folder.url}/summary.json")
        return summary
    summary = summarize(recipe)
    show(summary, console())
    stage.folder.write_json("summary.json", summary)
    stage.done({}, {"inputs": inputs, "scores": scores})
    print(f"report: labels {run.url}/influence/influence.parquet", end="")
    many = len(recipe.score.curvatures) > 1
    print(" (magnitudes of different curvatures cannot be compared)" if many else "")
    print(f"report: summary {stage.folder.url}/summary.json", flush=True)
    return summary


STAGES = [report]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("report")
