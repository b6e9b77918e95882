"""Passes over the sketch store: one function of a group of shards, over all groups.

    k  entries of a sketch     q  vectors     p  probes     n  labels that count

A pass gives each group of shards to a stateless function (scores.sums, score_table,
explain) and adds, or joins, what comes back in plan order: the bits do not depend on
who did what when. What calls the functions is the executor: `in_this_process` here,
Ray tasks in ray_jobs/shared/score_tasks.py.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Curvature, QueryLoss
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import Shard
from inflib.scores import sums
from inflib.scores.explain import QueryLabels, best, explain_shards
from inflib.scores.score_table import Columns, part_name, write_scores
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder

_SAMPLE = 4096
"""Labels whose ranks are compared, at least (if there are as many)."""


Executor = Callable[..., Iterable[Any]]
"""(function, sketches, groups, *arguments): what function(sketches, shards, *arguments)
returns for every group of shards, in the order of the groups."""


def in_this_process(
    function: Callable[..., Any],
    sketches: SketchSet,
    groups: list[list[Shard]],
    *arguments: Any,
) -> Iterable[Any]:
    """One group after the other."""
    return (function(sketches, shards, *arguments) for shards in groups)


class Passes:
    """Passes over the sketches of a run; of the training labels if not said."""

    def __init__(
        self,
        run: Folder,
        shards_per_task: int,
        edits: Edits | None = None,
        execute: Executor = in_this_process,
    ) -> None:
        """shards_per_task: changes rounding only; edits: of the training labels."""
        self.run, self.shards_per_task, self.execute = run, shards_per_task, execute
        self.train = SketchSet(run, "train", edits or {})
        self.plan = self.train.plan()

    def moments(self) -> sums.Moments:
        """sums.moments over all shards."""
        return self._total(sums.moments)

    def query_sums(
        self, query: str, num_groups: int, loss: QueryLoss
    ) -> sums.GroupSums:
        """sums.query_sums over all shards of a query set."""
        sketches = SketchSet(self.run, query)
        groups = self._groups(sketches.plan())
        return reduce(
            add, self.execute(sums.query_sums, sketches, groups, num_groups, loss)
        )

    def products(
        self, kind: Curvature, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        """sums.curvature_products over all shards."""
        return self._total(sums.curvature_products, kind, vectors, lambdas)

    def noise(self, kind: Curvature, num_probes: int) -> Float[Tensor, "k p"]:
        """sums.noise_sums over all shards."""
        return self._total(sums.noise_sums, kind, num_probes)

    def alignments(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """sums.alignments over all shards."""
        return self._rows(sums.alignments, self._groups(self.plan), vectors)

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """sums.alignments over a sample of the shards."""
        return self._rows(sums.alignments, self._sample(), vectors)

    def sample_sizes(self, kind: Curvature) -> Float[Tensor, "n 2"]:
        """sums.sizes over the same sample."""
        return self._rows(sums.sizes, self._sample(), kind)

    def explain(
        self,
        queries: QueryLabels,
        ihvps: Float[Tensor, "k q"],
        top: int,
        listed: frozenset[str],
    ) -> pa.Table:
        """explain.explain_shards over all shards: the best of all."""
        groups = self._groups(self.plan)
        arguments = queries, ihvps, top, listed
        tables = self.execute(explain_shards, self.train, groups, *arguments)
        return best(pa.concat_tables(tables), top)

    def score(self, target: Folder, name: str, columns: Columns) -> list[str]:
        """Scores of all labels, in files of `target`, one for each group of shards,
        unless they are there. Returns the files' names, in plan order."""
        groups, present = self._groups(self.plan), target.names()
        files = [part_name(name, shards) for shards in groups]
        missing = [
            shards
            for shards, file in zip(groups, files, strict=True)
            if file not in present
        ]
        list(self.execute(write_scores, self.train, missing, target, name, columns))
        return files

    def _total(self, function: Callable[..., Any], *arguments: Any) -> Any:
        groups = self._groups(self.plan)
        return reduce(add, self.execute(function, self.train, groups, *arguments))

    def _rows(
        self, function: Callable[..., Any], groups: list[list[Shard]], *arguments: Any
    ) -> Tensor:
        return torch.cat([*self.execute(function, self.train, groups, *arguments)])

    def _groups(self, plan: list[Shard]) -> list[list[Shard]]:
        size = self.shards_per_task
        return [plan[i : i + size] for i in range(0, len(plan), size)]

    def _sample(self) -> list[list[Shard]]:
        """Evenly spaced shards with enough labels for rank correlations, one by one."""
        num_labels = sum(shard.num_labels for shard in self.plan)
        return [[shard] for shard in self.plan[:: max(1, num_labels // _SAMPLE)]]
