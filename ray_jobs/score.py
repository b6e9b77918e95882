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
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from inflib.config.recipe import Recipe
from inflib.config.score import Kind
from inflib.data.label_edits import Edits
from inflib.scores.influence_folder import score_inputs
from inflib.scores.solver import Checkpoint, Solver, read_queries
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import StorePasses, assemble
from ray_jobs.shared.session import Stage, main, start_ray


def score(recipe: Recipe) -> None:
    """Write influence/ of a run, unless it is complete and of these sketches."""
    run = Folder(recipe.run)
    score_into(recipe, run / "influence", score_inputs(run, recipe), {})


def score_into(recipe: Recipe, folder: Folder, inputs: str, edits: Edits) -> None:
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
        solver = Solver(config, read_layers(self.run_folder), passes)
        asked = read_queries(config, list(self.recipe.prepare.queries), passes)
        columns, facts = solver.solve_all(asked, self._checkpoint)
        files = passes.score(self.partials, f"scores-{self.inputs}", columns)
        table = assemble.remote(self.folder, files, columns.names)
        num_rows, digest = ray.get(table)
        return {"pairs": num_rows, "finite": solver.train.num_labels}, {
            "curvatures": facts,
            "query_groups": dict(zip(asked.names, asked.shares.tolist(), strict=True)),
            "sha256": digest,
        }

    def _checkpoint(self, kind: Kind) -> Checkpoint:
        return Checkpoint(self.partials, f"{kind}-{self.inputs}.safetensors")


if __name__ == "__main__":
    from ray_jobs.what_if import what_if

    if sys.argv[1:2] == ["--what-if"]:
        path, rest = (sys.argv[2:3] or [""])[0], sys.argv[3:]
        sys.argv[1:] = rest
        main(__doc__, [partial(what_if, path=path)])
    else:
        main(__doc__, [score])
