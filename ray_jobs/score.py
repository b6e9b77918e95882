"""Stage 4 of 5: sketches -> influence of every label on every query set.

    python -m ray_jobs.score --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.score --run s3://bucket/run

A reduction actor coordinates stateless tasks. It holds nothing that cannot be found
again: each task leaves a partial under a name that says what it depends on, and after
a restart only the missing ones are computed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from inflib import curvature, scoring
from inflib.assembling import assemble
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder
from ray_jobs.session import Stage, main, start_ray

Group = tuple[str, list[str]]
"""(pair set, names of some of its shards)."""


def score(recipe: Recipe) -> None:
    """Write influence/ of a run, unless it is complete and of these sketches."""
    run = Folder(recipe.run)
    stage = Stage("score", run / "influence")
    inputs = scoring.key(
        store=scoring.store_digest(run, recipe),
        score=recipe.score.model_dump(mode="json"),
    )
    if stage.folder.exists("done.json") and stage.folder.exists("influence.parquet"):
        if stage.folder.read_json("done.json")["inputs"] == inputs:
            return stage.skip()
        print("score: labels, sketches or settings changed; scoring again", flush=True)
    start_ray(recipe)
    reducer = Reducer.remote(recipe, inputs)  # type: ignore[attr-defined]
    facts = ray.get(reducer.run.remote())
    stage.done(facts, {"inputs": inputs})
    partials = stage.folder / "partials"
    for name in partials.names():
        partials.delete(name)


@ray.remote(num_cpus=0, max_restarts=3, max_task_retries=3)
class Reducer:
    """Coordinates the passes over the sketches; its only state is its arguments."""

    def __init__(self, recipe: Recipe, inputs: str) -> None:
        self.recipe, self.inputs = recipe, inputs
        self.run_folder = Folder(recipe.run)
        self.partials = self.run_folder / "influence" / "partials"
        self.shards = {
            pairs: [
                s.name for s in PairsFolder(self.run_folder / "pairs" / pairs).plan()
            ]
            for pairs in recipe.prepare.sources
        }

    def run(self) -> dict[str, Any]:
        """All passes; returns the facts of the stage."""
        config, queries = self.recipe.score, list(self.recipe.prepare.queries)
        counts = ray.get(
            [
                _moments.remote(self.run_folder, pairs, self.shards[pairs])
                for pairs in ("train", *queries)
            ]
        )
        (num_labels, mean_square), query_counts = counts[0], counts[1:]
        empty = [q for q, (n, _) in zip(queries, query_counts, strict=True) if not n]
        if empty or not num_labels:
            raise ValueError(f"no label with a finite margin in {empty or 'train'}")
        vectors = np.stack(
            [
                self._sum(_query_sums, query, []) / count
                for query, (count, _) in zip(queries, query_counts, strict=True)
            ],
            axis=1,
        )
        manifest = (self.run_folder / "sketches").read_json("manifest.json")
        lam = curvature.damping(mean_square, manifest["num_parameters"], config.damping)
        ihvps, names = [], []
        for kind in config.curvatures:
            ihvp = vectors
            if kind == "datainf" and lam > 0:
                products = self._sum(_datainf_sums, "train", [ray.put(vectors), lam])
                ihvp = curvature.datainf_ihvp(
                    torch.from_numpy(vectors),
                    torch.from_numpy(products),
                    num_labels,
                    lam,
                ).numpy()
            ihvps.append(ihvp)
            names += [f"{kind}_{query}" for query in queries]
        self._score_shards(np.concatenate(ihvps, axis=1), names)
        table = _assemble.remote(self.run_folder, self._score_names(), names)
        return {"pairs": ray.get(table), "finite": num_labels, "lambda": lam}

    def _sum(self, task: Any, pairs: str, arguments: list[Any]) -> np.ndarray:
        """Partials of all groups of shards, added in plan order."""
        size, shards = self.recipe.score.group_shards, self.shards[pairs]
        groups = [shards[i : i + size] for i in range(0, len(shards), size)]
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
            f"scores-{self.inputs}-{shard}.parquet" for shard in self.shards["train"]
        ]

    def _score_shards(self, ihvps: np.ndarray, names: list[str]) -> None:
        shared, shards = ray.put(ihvps), self.shards["train"]
        outputs = self._score_names()

        def submit(i: int) -> Any:
            return _score_shard.remote(
                self.run_folder, shards[i], self.partials, outputs[i], shared, names
            )

        self._complete(outputs, submit)

    def _complete(self, names: list[str], submit: Callable[[int], Any]) -> None:
        """Run the tasks whose output is missing."""
        there = self.partials.names()
        ray.get([submit(i) for i, name in enumerate(names) if name not in there])


@ray.remote
def _moments(run: Folder, pairs: str, shards: list[str]) -> tuple[int, float]:
    return scoring.moments(run, pairs, shards)


@ray.remote
def _query_sums(
    run: Folder, pairs: str, shards: list[str], target: Folder, name: str
) -> None:
    torch.set_num_threads(1)  # more threads, other rounding
    scoring.write_array(target, name, scoring.query_sums(run, pairs, shards))


@ray.remote
def _datainf_sums(
    run: Folder,
    pairs: str,
    shards: list[str],
    target: Folder,
    name: str,
    vectors: np.ndarray,
    lam: float,
) -> None:
    torch.set_num_threads(1)
    sums = scoring.datainf_sums(run, pairs, shards, vectors.copy(), lam)
    scoring.write_array(target, name, sums)


@ray.remote
def _score_shard(
    run: Folder,
    shard: str,
    target: Folder,
    name: str,
    ihvps: np.ndarray,
    columns: list[str],
) -> None:
    torch.set_num_threads(1)
    table: pa.Table = scoring.score_shard(run, "train", shard, ihvps.copy(), columns)
    target.write_table(name, table)


@ray.remote
def _assemble(run: Folder, parts: list[str], columns: list[str]) -> int:
    return assemble(run / "influence", parts, columns)


if __name__ == "__main__":
    main(__doc__, [score])
