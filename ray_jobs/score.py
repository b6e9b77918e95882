"""Stage 4 of 5: sketches -> influence of every label on every query set.

    inflib score --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.score --run s3://bucket/run

A reduction actor coordinates stateless tasks. It holds nothing that cannot be found
again: sums over the store are computed afresh after a restart (conjugate gradients go
on from their last checkpoint), to the same bits; scores are left in files.
"""

from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from inflib.config.recipe import Recipe
from inflib.config.score import Curvature
from inflib.data.label_edits import Edits
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.solver import Checkpoint, Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks, assemble
from ray_jobs.shared.session import Stage, start_ray


def score(recipe: Recipe) -> dict[str, Any]:
    """Write influence/ of a run, unless it is complete and of these sketches."""
    run = Folder(recipe.run)
    return score_into(recipe, InfluenceFolder.of(run), score_inputs(run, recipe), {})


def score_into(
    recipe: Recipe, scores: InfluenceFolder, inputs: str, edits: Edits
) -> dict[str, Any]:
    """Write a folder of scores with edited labels, unless it is of these inputs."""
    stage = Stage("score", scores.folder)
    if scores.is_complete:
        if stage.is_current(inputs):
            return stage.skip()
        print("score: labels, sketches or settings changed; scoring again", flush=True)
    start_ray(recipe)
    observe("score")
    reducer = Reducer.remote(recipe, scores, inputs, edits)  # type: ignore[attr-defined]
    record = _wait(reducer)
    scores.partials.delete(*scores.partials.names())
    said = {"pairs", "finite"}
    return stage.done(record.model_dump(include=said), record.model_dump(exclude=said))


def _wait(reducer: Any) -> ScoreRecord:
    """The reducer's result; shows its progress meanwhile."""
    result, progress = reducer.run.remote(), None
    while not ray.wait([result], timeout=0.5)[0]:
        with suppress(RayActorError, GetTimeoutError):  # it may be restarting
            step, done, total = ray.get(reducer.progress.remote(), timeout=5)
            progress = progress or Progress("score", total, "tasks")
            progress.total, progress.note = total, step
            progress.advance(done - progress.done)
    if progress is not None:
        progress.close()
    return ray.get(result)


@ray.remote(num_cpus=0, max_restarts=3, max_task_retries=3, max_concurrency=2)
class Reducer:
    """Coordinates the passes over the sketches; its only state is its arguments."""

    def __init__(
        self, recipe: Recipe, scores: InfluenceFolder, inputs: str, edits: Edits
    ) -> None:
        observe("score")
        self.recipe, self.scores, self.inputs = recipe, scores, inputs
        self.tasks, self.step = RayTasks(), ""
        shards_per_task = recipe.score.shards_per_task
        self.passes = Passes(Folder(recipe.run), shards_per_task, edits, self.tasks)

    def progress(self) -> tuple[str, int, int]:
        """(what runs now, finished tasks, tasks as far as they are known)."""
        return self.step, self.tasks.done, self.tasks.submitted

    def run(self) -> ScoreRecord:
        """All passes; leaves influence.parquet."""
        config, passes = self.recipe.score, self.passes
        solver = Solver(config, read_layers(passes.run), passes, self._watch)
        queries = read_queries(config, list(self.recipe.prepare.queries), passes)
        columns, records = solver.solve_all(queries, self._checkpoint)
        self._watch("scores")
        parts = passes.score(self.scores.partials, f"scores-{self.inputs}", columns)
        num_rows, digest = ray.get(assemble.remote(self.scores, parts, columns.names))
        shares = queries.shares.tolist()
        return ScoreRecord(
            inputs=self.inputs,
            sha256=digest,
            pairs=num_rows,
            finite=solver.train.num_labels,
            curvatures=records,
            query_groups=dict(zip(queries.names, shares, strict=True)),
        )

    def _watch(self, step: str) -> None:
        self.step = step

    def _checkpoint(self, kind: Curvature) -> Checkpoint:
        return Checkpoint(self.scores.partials, f"{kind}-{self.inputs}.safetensors")


STAGES = [score]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("score")
