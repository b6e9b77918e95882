"""Stage 4 of 5: sketches -> influence of every label on every query set.

    python -m ray_jobs.score --run runs/demo
    python -m ray_jobs.score --what-if labels.csv --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.score --run s3://bucket/run

A reduction actor coordinates stateless tasks. It holds nothing that cannot be found
again: sums over the store are computed afresh after a restart (conjugate gradients go
on from their last checkpoint), to the same bits; scores are left in files.

--what-if: a CSV file with the columns pair_id and action (flip, drop, or a new weight).
Prints what the edits would do to every query set's loss, to first order, and scores all
labels anew as if they were made, from the store alone, into what_if/<its name>/
"""

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError
from rich.console import Console

from inflib import engine, scoring
from inflib.config import Recipe
from inflib.config_score import Kind
from inflib.edits import Edits, read_edits
from inflib.folder import Folder
from inflib.progress import Progress
from inflib.terminal import show_predictions
from inflib.what_if import Scored, predict
from ray_jobs.observe import observe
from ray_jobs.passes import StorePasses, assemble
from ray_jobs.session import Stage, main, start_ray


def score(recipe: Recipe) -> None:
    """Write influence/ of a run, unless it is complete and of these sketches."""
    run = Folder(recipe.run)
    _score_into(recipe, run / "influence", scoring.score_inputs(run, recipe), {})


def _score_into(recipe: Recipe, folder: Folder, inputs: str, edits: Edits) -> None:
    stage = Stage("score", folder)
    if stage.folder.exists("done.json") and stage.folder.exists("influence.parquet"):
        if stage.folder.read_json("done.json")["inputs"] == inputs:
            return stage.skip()
        print("score: labels, sketches or settings changed; scoring again", flush=True)
    start_ray(recipe)
    observe("score")
    reducer = Reducer.remote(recipe, folder, inputs, edits)  # type: ignore[attr-defined]
    facts, record = _wait(reducer)
    partials = stage.folder / "partials"
    partials.delete(*partials.names())
    stage.done(facts, record | {"inputs": inputs})


def _wait(reducer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reducer's result; shows its progress meanwhile."""
    result, progress = reducer.run.remote(), None
    while not ray.wait([result], timeout=0.5)[0]:
        with suppress(RayActorError, GetTimeoutError):  # it may be restarting
            said, done, total = ray.get(reducer.progress.remote(), timeout=5)
            progress = progress or Progress("score", total, "tasks")
            progress.total, progress.note = total, said
            progress.advance(done - progress.done)
    if progress is not None:
        progress.close()
    return ray.get(result)


@ray.remote(num_cpus=0, max_restarts=3, max_task_retries=3, max_concurrency=2)
class Reducer:
    """Coordinates the passes over the sketches; its only state is its arguments."""

    def __init__(
        self, recipe: Recipe, folder: Folder, inputs: str, edits: Edits
    ) -> None:
        observe("score")
        self.recipe, self.folder, self.inputs = recipe, folder, inputs
        self.run_folder, self.partials = Folder(recipe.run), folder / "partials"
        size = recipe.score.group_shards
        self.passes = StorePasses(self.run_folder, size, edits)

    def progress(self) -> tuple[str, int, int]:
        """(what runs now, finished tasks, tasks as far as they are known)."""
        found = self.passes
        return found.said, found.done, found.submitted

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All passes; returns facts of the stage, and what its record holds beside."""
        config, passes = self.recipe.score, self.passes
        solver = engine.Solver(config, scoring.read_layers(self.run_folder), passes)
        asked = engine.read_queries(config, list(self.recipe.prepare.queries), passes)
        columns, facts = solver.solve_all(asked, self._checkpoint)
        files = passes.score(self.partials, f"scores-{self.inputs}", columns)
        table = assemble.remote(self.folder, files, columns.names)
        num_rows, digest = ray.get(table)
        return {"pairs": num_rows, "finite": solver.train.num_labels}, {
            "curvatures": facts,
            "query_groups": dict(zip(asked.names, asked.shares.tolist(), strict=True)),
            "sha256": digest,
        }

    def _checkpoint(self, kind: Kind) -> engine.Checkpoint:
        return engine.Checkpoint(self.partials, f"{kind}-{self.inputs}.safetensors")


def what_if(recipe: Recipe, path: str) -> None:
    """Print what edits of labels would do; score all labels as if they were made."""
    run, edits = Folder(recipe.run), read_edits(path)
    scores = scoring.current_scores(run, recipe)
    show_predictions(predict(recipe, Scored(run), edits), Console())
    changes = {pair_id: vars(edit) for pair_id, edit in edits.items()}
    inputs = scoring.key(scores=scores, edits=changes)
    folder = run / "what_if" / Path(path).name.partition(".")[0]
    _score_into(recipe, folder, inputs, edits)
    print(f"score: with these edits, in {folder.url}/influence.parquet")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--what-if"]:
        path, rest = (sys.argv[2:3] or [""])[0], sys.argv[3:]
        sys.argv[1:] = rest
        main(__doc__, [partial(what_if, path=path)])
    else:
        main(__doc__, [score])
