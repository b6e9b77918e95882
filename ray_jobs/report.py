"""Stage 5 of 5: influence -> tables in the terminal, summary.json, a page.

    inflib report --run runs/demo
    inflib report --run runs/demo --report.top 50

Says for which query sets the scores can be acted on, shows the labels that harm each of
them most, and the labelers whose labels do; writes report/summary.json, and
report/index.html to look at labels and decide on them. Rerun with other report options,
or after a study (verify, ...), whose results the page then shows; no score is computed
again.
"""

import os
from pathlib import Path
from typing import Any

import ray

from inflib.audited_run import AuditedRun, studies_digest
from inflib.config.recipe import Recipe
from inflib.page.write_page import page_digest, write_page
from inflib.report.console import show
from inflib.report.summary import FORMAT, summarize
from inflib.report.tables import console
from inflib.scores.executor import Executor, InThisProcess
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage


def report(recipe: Recipe) -> dict[str, Any]:
    """Write report/ of a run and print it; returns summary.json.

    Raises ValueError when the scores are not of the run's labels, sketches or settings.
    """
    run = Folder(recipe.run)
    stage = Stage("report", run / "report")
    scores = InfluenceFolder.current(recipe).record.inputs
    inputs = _inputs(recipe, scores)
    if _is_current(stage, inputs):
        summary = stage.folder.read_json("summary.json")
        show(summary, console())
        stage.skip(f"complete, see {stage.folder.url}/summary.json")
        print(f"report: page {page_address(Folder(recipe.run))}", flush=True)
        return summary
    summary = _made(recipe)
    show(summary, console())
    stage.done({}, {"inputs": inputs, "scores": scores})
    print(f"report: labels {run.url}/influence/influence.parquet", end="")
    many = len(recipe.score.curvatures) > 1
    print(" (magnitudes of different curvatures cannot be compared)" if many else "")
    print(f"report: summary {stage.folder.url}/summary.json")
    print(f"report: page {page_address(Folder(recipe.run))}", flush=True)
    return summary


def refresh_page(recipe: Recipe) -> None:
    """Write the page of a run that has a report anew, where a study has finished since;
    prints its address. Does nothing without a report of the run's scores."""
    stage = Stage("report", Folder(recipe.run) / "report")
    scores = InfluenceFolder.current(recipe).record.inputs
    done = stage.folder.exists("done.json") and stage.folder.read_json("done.json")
    if not done or done.get("scores") != scores:
        return
    inputs = _inputs(recipe, scores)
    if not _is_current(stage, inputs):
        _made(recipe)
        stage.done({}, {"inputs": inputs, "scores": scores})
    print(f"report: page {page_address(Folder(recipe.run))}", flush=True)


def _is_current(stage: Stage, inputs: str) -> bool:
    return stage.folder.exists("index.html") and stage.is_current(inputs)


def _inputs(recipe: Recipe, scores: str) -> str:
    """Digest of all that the report shows, studies that are there by now included."""
    return digest_of(
        scores=scores,
        report=recipe.report.model_dump(mode="json"),
        format=FORMAT,
        page=page_digest(),
        studies=studies_digest(Folder(recipe.run)),
    )


def _made(recipe: Recipe) -> dict[str, Any]:
    """Write summary.json and the page; returns the first.

    In a task, where Ray runs already, or elsewhere: all labels are in memory, which is
    not to be the driver's. Else in this process: a Ray takes longer to start than the
    report of a small run takes.
    """
    address = os.environ.get("RAY_ADDRESS") or recipe.cluster.address
    if not ray.is_initialized() and address == "local":
        return _make(recipe, InThisProcess())
    start_ray(recipe)
    return ray.get(_make_there.remote(recipe))


@ray.remote
def _make_there(recipe: Recipe) -> dict[str, Any]:
    observe("report")
    return _make(recipe, RayTasks())


def _make(recipe: Recipe, executor: Executor) -> dict[str, Any]:
    summary = summarize(recipe)
    (Folder(recipe.run) / "report").write_json("summary.json", summary)
    write_page(AuditedRun(recipe, summary), executor)
    return summary


def page_address(run: Folder) -> str:
    """Address of a run's page, which a browser opens."""
    address = f"{run.url}/report/index.html"
    return Path(address).resolve().as_uri() if "://" not in address else address


STAGES = [report]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("report")
