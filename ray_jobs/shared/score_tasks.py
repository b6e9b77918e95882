"""Passes over the sketches of a run, as stateless tasks over some shards each.

Sums come back through Ray and are added in plan order; scores are left in files.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from torch import Tensor

from inflib.config.score import Kind, QueryLoss
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.scores import sums
from inflib.scores.explain import Asked, best, explain_shards
from inflib.scores.influence_folder import assemble as assemble_scores
from inflib.scores.passes import sample_shards
from inflib.scores.score_table import Columns, score_shards
from inflib.storage.folder import Folder
from inflib.telemetry import Clock, event
from ray_jobs.shared.observe import observe, watched


class StorePasses:
    """Passes over the sketches of a run, see inflib.scores.passes.Passes."""

    def __init__(
        self, run: Folder, group_shards: int, edits: Edits | None = None
    ) -> None:
        """group_shards: shards per task; edits: of the training labels."""
        self.run, self.group_shards, self.edits = run, group_shards, edits
        self.said, self.done, self.submitted = "", 0, 0
        self._plans: dict[str, list[Shard]] = {}

    def moments(self) -> sums.Moments:
        return self._total("train", sums.moments, self.edits)

    def query_sums(
        self, query: str, num_groups: int, loss: QueryLoss
    ) -> sums.GroupSums:
        return self._total(query, sums.query_sums, num_groups, loss)

    def products(self, kind: Kind, vectors: Tensor, lambdas: list[float]) -> Tensor:
        shared = ray.put(vectors.numpy())
        asked = kind, shared, lambdas, self.edits
        # A copy: what a single task returned is in Ray's read-only memory
        return torch.tensor(self._total("train", _products, *asked))

    def noise(self, kind: Kind, num_probes: int) -> Tensor:
        return self._total("train", sums.noise_sums, kind, num_probes, self.edits)

    def sample(self, vectors: Tensor) -> Tensor:
        shared = ray.put(vectors)
        return self._rows(sums.alignments, self._sample(), shared, self.edits)

    def sample_sizes(self, kind: Kind) -> Tensor:
        return self._rows(sums.sizes, self._sample(), kind, self.edits)

    def alignments(self, vectors: Tensor) -> Tensor:
        """scores.sums.alignments over all shards: [n, q] of labels that count."""
        shared, groups = ray.put(vectors), self._groups("train")
        return self._rows(sums.alignments, groups, shared, self.edits)

    def explain(
        self, asked: Asked, ihvps: Tensor, top: int, listed: frozenset[str]
    ) -> pa.Table:
        """inflib.scores.explain.explain_shards over all shards."""
        groups = self._groups("train")
        shared = ray.put(asked), ray.put(ihvps), top, listed
        tasks = self._submit("train", explain_shards, groups, *shared)
        return best(pa.concat_tables([self._get(task) for task in tasks]), top)

    def say(self, text: str) -> None:
        self.said = text

    def score(self, target: Folder, name: str, columns: Columns) -> list[str]:
        """Scores of all training labels, in files of `target` by groups of shards,
        unless they are there; returns the files' names, in plan order."""
        self.say("scores")
        shared, groups = ray.put(columns), self._groups("train")
        files = [f"{name}-{i:05}.parquet" for i in range(len(groups))]
        there = target.names()
        tasks = [
            _score.remote(self.run, group, target, file, shared, self.edits)
            for file, group in zip(files, groups, strict=True)
            if file not in there
        ]
        self.submitted += len(tasks)
        for task in tasks:
            self._get(task)
        return files

    def _total(self, pairs: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Sum of a function of inflib.scores.sums over all shards, in plan order."""
        tasks = self._submit(pairs, function, self._groups(pairs), *arguments)
        return reduce(add, map(self._get, tasks))

    def _rows(
        self, function: Callable[..., Any], groups: list[list[Shard]], *arguments: Any
    ) -> Tensor:
        """What a function of scores.sums says of training labels, in plan order."""
        tasks = self._submit("train", function, groups, *arguments)
        return torch.cat([self._get(task) for task in tasks])

    def _sample(self) -> list[list[Shard]]:
        return [[shard] for shard in sample_shards(self._plan("train"))]

    def _plan(self, pairs: str) -> list[Shard]:
        if pairs not in self._plans:
            self._plans[pairs] = PairsFolder(self.run / "pairs" / pairs).plan()
        return self._plans[pairs]

    def _groups(self, pairs: str) -> list[list[Shard]]:
        size, shards = self.group_shards, self._plan(pairs)
        return [shards[i : i + size] for i in range(0, len(shards), size)]

    def _submit(
        self,
        pairs: str,
        function: Callable[..., Any],
        groups: list[list[Shard]],
        *arguments: Any,
    ) -> list[Any]:
        self.submitted += len(groups)
        return [
            _run_pass.remote(function, self.run, pairs, group, *arguments)
            for group in groups
        ]

    def _get(self, task: Any) -> Any:
        found = ray.get(task)
        self.done += 1
        return found


@ray.remote
def _run_pass(
    function: Callable[..., Any],
    run: Folder,
    pairs: str,
    shards: list[Shard],
    *arguments: Any,
) -> Any:
    """function(run, pairs, shards, *arguments), one of inflib.scores.sums's sums."""
    with _observed(function.__name__.replace("_", " ").strip(), pairs, shards):
        return function(run, pairs, shards, *arguments)


def _products(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    kind: Kind,
    vectors: np.ndarray,
    lambdas: list[float],
    edits: Edits | None,
) -> np.ndarray:
    """sums.curvature_products on arrays, which Ray hands over without copies."""
    own = torch.tensor(vectors)  # a copy: Ray's memory is read-only
    found = sums.curvature_products(run, pairs, shards, kind, own, lambdas, edits)
    return found.numpy()


@ray.remote
def _score(
    run: Folder,
    shards: list[Shard],
    target: Folder,
    file: str,
    columns: Columns,
    edits: Edits | None,
) -> None:
    """Leave the scores of the shards' labels."""
    with _observed("score", "train", shards):
        tables = score_shards(run, "train", shards, columns, edits)
        target.write_table(file, pa.concat_tables(tables))


@contextmanager
def _observed(phase: str, pairs: str, shards: list[Shard]) -> Iterator[None]:
    """What every task over sketches shares: one thread, since more threads round
    otherwise, and what is said of it."""
    observe("score")
    torch.set_num_threads(1)
    clock, name = Clock(), f"{pairs}/{shards[0].name} to {shards[-1].name}"
    with watched(f"{phase}, {name}"):
        yield
    clock.lap(phase)
    num_pairs = sum(shard.num_comparisons for shard in shards)
    event(f"{phase}, {name}", shard=name, pairs=num_pairs, seconds=clock.laps)


@ray.remote
def assemble(
    influence: Folder, parts: list[str], columns: list[str]
) -> tuple[int, str]:
    """Scores of all parts to influence.parquet: (labels, digest)."""
    return assemble_scores(influence, parts, columns)
