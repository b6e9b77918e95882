"""Stage 4 of 5: sketches -> influence of every label on every query set.

    python -m ray_jobs.score --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.score --run s3://bucket/run

A reduction actor coordinates stateless tasks. It holds nothing that cannot be found
again: each task leaves a partial under a name that says what it depends on, and after
a restart only the missing ones are computed.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, RayActorError

from inflib import curvature, scoring
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder, Shard
from inflib.progress import Progress
from ray_jobs import passes
from ray_jobs.observe import observe
from ray_jobs.session import Stage, main, start_ray


def score(recipe: Recipe) -> None:
    """Write influence/ of a run, unless it is complete and of these sketches."""
    run = Folder(recipe.run)
    stage = Stage("score", run / "influence")
    inputs = scoring.score_inputs(run, recipe)
    if stage.folder.exists("done.json") and stage.folder.exists("influence.parquet"):
        if stage.folder.read_json("done.json")["inputs"] == inputs:
            return stage.skip()
        print("score: labels, sketches or settings changed; scoring again", flush=True)
    start_ray(recipe)
    observe("score")
    reducer = Reducer.remote(recipe, inputs)  # type: ignore[attr-defined]
    facts, digest = _wait(reducer)
    partials = stage.folder / "partials"
    partials.delete(*partials.names())
    stage.done(facts, {"inputs": inputs, "sha256": digest})


def _wait(reducer: Any) -> tuple[dict[str, Any], str]:
    """The reducer's result; shows its progress meanwhile."""
    result, progress = reducer.run.remote(), None
    while not ray.wait([result], timeout=0.5)[0]:
        with suppress(RayActorError, GetTimeoutError):  # it may be restarting
            done, total = ray.get(reducer.progress.remote(), timeout=5)
            progress = progress or Progress("score", total, "tasks")
            progress.advance(done - progress.done)
    if progress is not None:
        progress.close()
    return ray.get(result)


@ray.remote(num_cpus=0, max_restarts=3, max_task_retries=3, max_concurrency=2)
class Reducer:
    """Coordinates the passes over the sketches; its only state is its arguments."""

    def __init__(self, recipe: Recipe, inputs: str) -> None:
        observe("score")
        self.recipe, self.inputs = recipe, inputs
        self.run_folder = Folder(recipe.run)
        self.partials = self.run_folder / "influence" / "partials"
        self.shards = {
            pairs: PairsFolder(self.run_folder / "pairs" / pairs).plan()
            for pairs in recipe.prepare.sources
        }
        self._done = 0

    def progress(self) -> tuple[int, int]:
        """(finished tasks, all tasks)."""
        num_passes = 1 + ("datainf" in self.recipe.score.curvatures)
        total = len(self.shards["train"]) + num_passes * len(self._groups("train"))
        queries = self.recipe.prepare.queries
        return self._done, total + sum(2 * len(self._groups(q)) for q in queries)

    def run(self) -> tuple[dict[str, Any], str]:
        """All passes; returns the facts of the stage and the digest of the scores."""
        config, queries = self.recipe.score, list(self.recipe.prepare.queries)
        num_labels, squares = self._moments("train")
        query_counts = [self._moments(query)[0] for query in queries]
        empty = [q for q, n in zip(queries, query_counts, strict=True) if not n]
        if empty or not num_labels:
            raise ValueError(f"no label with a finite margin in {empty or 'train'}")
        vectors = np.stack(
            [
                self._sum(passes.query_sums, query, []) / count
                for query, count in zip(queries, query_counts, strict=True)
            ],
            axis=1,
        )
        manifest = (self.run_folder / "sketches").read_json("manifest.json")
        lam = curvature.damping(
            squares / num_labels, manifest["num_parameters"], config.damping
        )
        ihvps, names = [], []
        for kind in config.curvatures:
            ihvp = vectors
            if kind == "datainf" and lam > 0:
                products = self._sum(
                    passes.datainf_sums, "train", [ray.put(vectors), lam]
                )
                ihvp = curvature.datainf_ihvp(
                    torch.from_numpy(vectors),
                    torch.from_numpy(products),
                    num_labels,
                    lam,
                ).numpy()
            ihvps.append(ihvp)
            names += [f"{kind}_{query}" for query in queries]
        self._score_shards(np.concatenate(ihvps, axis=1), names)
        table = passes.assemble.remote(self.run_folder, self._score_names(), names)
        num_rows, digest = ray.get(table)
        return {"pairs": num_rows, "finite": num_labels, "lambda": lam}, digest

    def _groups(self, pairs: str) -> list[list[Shard]]:
        size, shards = self.recipe.score.group_shards, self.shards[pairs]
        return [shards[i : i + size] for i in range(0, len(shards), size)]

    def _moments(self, pairs: str) -> tuple[int, float]:
        """(usable labels, sum of |g|^2) of a pair set, added in plan order."""
        tasks = [
            passes.moments.remote(self.run_folder, pairs, group)
            for group in self._groups(pairs)
        ]
        self._wait(tasks)
        counts, squares = zip(*ray.get(tasks), strict=True)
        return sum(counts), sum(squares)

    def _sum(self, task: Any, pairs: str, arguments: list[Any]) -> np.ndarray:
        """Partials of all groups of shards, added in plan order."""
        size, groups = self.recipe.score.group_shards, self._groups(pairs)
        step = scoring.key(task=str(task._function_name), pairs=pairs, size=size)
        names = [f"{step}-{self.inputs}-{i:05}.npy" for i in range(len(groups))]

        def submit(i: int) -> Any:
            return task.remote(
                self.run_folder, pairs, groups[i], self.partials, names[i], *arguments
            )

        self._complete(names, submit)
        total = scoring.read_array(self.partials, names[0])
        for name in names[1:]:
            total = total + scoring.read_array(self.partials, name)
        return total

    def _score_names(self) -> list[str]:
        return [
            f"scores-{self.inputs}-{shard.name}.parquet"
            for shard in self.shards["train"]
        ]

    def _score_shards(self, ihvps: np.ndarray, names: list[str]) -> None:
        shared, shards = ray.put(ihvps), self.shards["train"]
        outputs = self._score_names()

        def submit(i: int) -> Any:
            return passes.score_shard.remote(
                self.run_folder, shards[i], self.partials, outputs[i], shared, names
            )

        self._complete(outputs, submit)

    def _complete(self, names: list[str], submit: Callable[[int], Any]) -> None:
        """Run the tasks whose output is missing."""
        there = self.partials.names()
        tasks = [submit(i) for i, name in enumerate(names) if name not in there]
        self._done += len(names) - len(tasks)
        self._wait(tasks)

    def _wait(self, tasks: list[Any]) -> None:
        while tasks:
            finished, tasks = ray.wait(tasks)
            ray.get(finished)
            self._done += len(finished)


if __name__ == "__main__":
    main(__doc__, [score])
