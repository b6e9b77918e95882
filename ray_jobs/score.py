"""Stage 4 of 5: sketches -> influence of labels on query sets.

    inflib score --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.score --run s3://bucket/run

Writes influence/influence.parquet, one row per training label, and influence/done.json
with the dampings that were chosen. An actor, the reducer, hands groups of shards to
stateless tasks and adds what they return. If it dies, it is started again, goes on from
the last checkpoint of conjugate gradients, and ends with the same bits.
"""

from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from inflib.config.recipe import Recipe
from inflib.config.score import Curvature
from inflib.data.label_edits import Edits
from inflib.scores.checkpoint import Checkpoint
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks, assemble
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage


def score(recipe: Recipe) -> dict[str, Any]:
    """Write influence/ of a run, unless it is complete and of these inputs.

    Inputs are the labels, the sketches and the settings of the recipe. Returns the
    stage's record.
    """
    run = Folder(recipe.run)
    return score_into(recipe, InfluenceFolder.of(run), score_inputs(run, recipe), {})


def score_into(
    recipe: Recipe, scores: InfluenceFolder, inputs: str, edits: Edits
) -> dict[str, Any]:
    """Write scores of all labels, as if edited, unless they are of the same inputs.

    inputs: digest of what the scores depend on. Returns the stage's record.
    """
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
    printed = {"pairs", "finite"}
    return stage.done(
        record.model_dump(include=printed), record.model_dump(exclude=printed)
    )


def _wait(reducer: Any) -> ScoreRecord:
    """The reducer's result, once it is there; prints progress until then."""
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
    """The actor that runs the passes over the sketches.

    Its arguments say all it needs: what a restart loses is computed again.
    """

    def __init__(
        self, recipe: Recipe, scores: InfluenceFolder, inputs: str, edits: Edits
    ) -> None:
        observe("score")
        self.recipe, self.scores, self.inputs = recipe, scores, inputs
        self.tasks, self.step = RayTasks(), ""
        shards_per_task = recipe.score.shards_per_task
        self.passes = Passes(
            Folder(recipe.run), shards_per_task, edits, self.tasks, inputs
        )

    def progress(self) -> tuple[str, int, int]:
        """(name of the current step, tasks finished, tasks submitted so far)."""
        return self.step, self.tasks.done, self.tasks.submitted

    def run(self) -> ScoreRecord:
        """Run all passes and write influence.parquet; returns the record of it."""
        config, passes = self.recipe.score, self.passes
        solver = Solver(config, read_layers(passes.run), passes, self._set_step)
        queries = read_queries(config, list(self.recipe.prepare.queries), passes)
        columns, records = solver.solve_all(queries, self._checkpoint)
        self._set_step("scores")
        files = passes.score(self.scores.partials, f"scores-{self.inputs}", columns)
        num_rows, digest = ray.get(assemble.remote(self.scores, files, columns.names))
        shares = queries.shares.tolist()
        return ScoreRecord(
            inputs=self.inputs,
            sha256=digest,
            pairs=num_rows,
            finite=solver.train.num_labels,
            curvatures=records,
            query_groups=dict(zip(queries.names, shares, strict=True)),
        )

    def _set_step(self, step: str) -> None:
        self.step = step

    def _checkpoint(self, kind: Curvature) -> Checkpoint:
        return Checkpoint(self.scores.partials, f"{kind}-{self.inputs}.safetensors")


STAGES = [score]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("score")
