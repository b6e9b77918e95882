"""Sketches of a run to sums and rows over all labels, by passes over the shards.

    k  entries of a sketch     q  vectors     p  probes     n  labels that count

A pass cuts the plan into tasks of some shards each, gives the shards of every task to a
stateless function (scores.sums, score_table, explain), and adds, or joins, the results
in a fixed order: the bits do not depend on which worker computed what, or when. An
executor (scores.executor) calls the functions, in this process or as Ray tasks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Curvature, QueryLoss
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import Shard
from inflib.numerics.largest_terms import Terms
from inflib.numerics.layer_bins import Layer
from inflib.scores import neighbours, sums
from inflib.scores.executor import Executor, InThisProcess, Work
from inflib.scores.explain import QueryLabels, best, explain_shards
from inflib.scores.score_table import ScoreVectors, partial_name, write_scores
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder

_SAMPLE = 4096
"""Labels of a sample, at least (if there are as many)."""


class Passes:
    """The passes that scoring makes: over the training set, but for query_sums."""

    def __init__(
        self,
        run: Folder,
        shards_per_task: int,
        edits: Edits | None = None,
        executor: Executor | None = None,
        version: str | None = None,
    ) -> None:
        """shards_per_task: changes rounding only; edits: of the training labels, as if
        they had been made before scoring; executor: InThisProcess, if None; version:
        see SketchSet."""
        self.run, self.shards_per_task, self.version = run, shards_per_task, version
        self.executor = executor or InThisProcess()
        self.train = SketchSet(run, "train", edits or {}, version)
        self.plan = self.train.plan()

    def moments(self) -> sums.Moments:
        """Label count, |g|^2 by layer and h |s|^2, summed over the training labels."""
        return self._total(sums.moments)

    def query_sums(
        self, query: str, num_groups: int, loss: QueryLoss
    ) -> sums.QueryGroupSums:
        """Gradients of the query loss and label counts of a query set, by query group.

        num_groups: number of query groups.
        """
        sketches = SketchSet(self.run, query, version=self.version)
        task_shards = self._tasks(sketches.plan())
        work = Work(sums.query_sums, sketches, task_shards, (num_groups, loss))
        return self.executor.total(work)

    def products(
        self, kind: Curvature, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        """n times H v of each vector, or DataInf's sum: see sums.curvature_products.

        lambdas: DataInf's, one for every block; empty for the other curvatures.
        """
        return self._total(sums.curvature_products, kind, vectors, lambdas)

    def largest_terms(self, kind: Curvature, most: int) -> Terms | None:
        """At most so many terms of H, those of the largest trace; None: there is none.
        A term is a comparison's."""
        sizes = self._rows(sums.term_sizes, self._tasks(self.plan), kind)
        above = 0.0
        if len(sizes) > most:
            above = max(0.0, float(sizes.sort(descending=True).values[most]))
        arguments = kind, above
        work = Work(sums.read_terms, self.train, self._tasks(self.plan), arguments)
        parts = [part for found in self.executor.results(work) for part in found]
        return Terms.joined(parts) if parts else None

    def noise(self, kind: Curvature, num_probes: int) -> Float[Tensor, "k p"]:
        """Random vectors whose covariance is n H: see sums.noise_sums."""
        return self._total(sums.noise_sums, kind, num_probes)

    def alignments(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """-d s . v of every label that counts, in plan order, and every vector v."""
        return self._rows(sums.alignments, self._tasks(self.plan), vectors)

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        """-d s . v of the labels that count in a sample of the shards."""
        return self._rows(sums.alignments, self._sample(), vectors)

    def sample_sizes(self, kind: Curvature) -> Float[Tensor, "n 2"]:
        """(d^2 |s|^2, leverage) of the labels of the same sample."""
        return self._rows(sums.sizes, self._sample(), kind)

    def explain(
        self,
        queries: QueryLabels,
        ihvps: Float[Tensor, "k q"],
        top: int,
        listed: frozenset[str],
    ) -> pa.Table:
        """Table of the training labels that drive each query label: see
        explain.explain_shards, here over all shards."""
        task_shards = self._tasks(self.plan)
        arguments = queries, ihvps, top, listed
        work = Work(explain_shards, self.train, task_shards, arguments)
        tables = self.executor.results(work)
        return best(pa.concat_tables(tables), top)

    def gradients(self, rows: np.ndarray) -> neighbours.Gradients:
        """Gradients of the labels in these rows of the plan, in ascending order."""
        starts = neighbours.starts_of(self.plan)
        in_shard = {
            shard.name: (rows[(rows >= start) & (rows < start + shard.num_labels)])
            - start
            for shard, (_, start) in zip(self.plan, starts.values(), strict=True)
        }
        plan = [shard for shard in self.plan if len(in_shard[shard.name])]
        arguments = {name: r.tolist() for name, r in in_shard.items()}, starts
        work = Work(neighbours.read_gradients, self.train, self._tasks(plan), arguments)
        return neighbours.Gradients.joined(self.executor.results(work), len(rows))

    def nearest(
        self, targets: neighbours.Gradients, layers: list[Layer], top: int
    ) -> neighbours.Nearest:
        """The training labels whose gradients are nearest to the targets', see
        neighbours.nearest."""
        vectors = targets.vectors.numpy()
        folded = torch.from_numpy(
            neighbours.directions(neighbours.fold(vectors, layers))
        )
        starts = neighbours.starts_of(self.plan)
        arguments = layers, folded, targets.comparisons, starts, top
        task_shards = self._tasks(self.plan)
        work = Work(neighbours.nearest, self.train, task_shards, arguments)
        return neighbours.Nearest.best(self.executor.results(work), top)

    def harm_of(
        self, targets: neighbours.Gradients, query: str, loss: QueryLoss
    ) -> neighbours.Harm:
        """What each target does to every label of a query set, see
        neighbours.harm_of."""
        sketches = SketchSet(self.run, query, version=self.version)
        task_shards = self._tasks(sketches.plan())
        work = Work(neighbours.harm_of, sketches, task_shards, (targets, loss))
        parts = [*self.executor.results(work)]
        return neighbours.Harm(
            torch.cat([part.products for part in parts], dim=1),
            torch.cat([part.cosines for part in parts], dim=1),
        )

    def score(self, target: Folder, name: str, columns: ScoreVectors) -> list[str]:
        """Write the scores of all labels to files of `target`, one for each task's
        shards, unless they are there. Returns the files' names, in plan order."""
        task_shards, present = self._tasks(self.plan), target.names()
        files = [partial_name(name, shards) for shards in task_shards]
        missing = [
            shards
            for shards, file in zip(task_shards, files, strict=True)
            if file not in present
        ]
        work = Work(write_scores, self.train, missing, (target, name, columns))
        list(self.executor.results(work))
        return files

    def _total(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Sum of a function's results over all tasks."""
        task_shards = self._tasks(self.plan)
        return self.executor.total(Work(function, self.train, task_shards, arguments))

    def _rows(
        self,
        function: Callable[..., Any],
        task_shards: list[list[Shard]],
        *arguments: Any,
    ) -> Tensor:
        """A function's rows of all tasks, joined."""
        work = Work(function, self.train, task_shards, arguments)
        return torch.cat([*self.executor.results(work)])

    def _tasks(self, plan: list[Shard]) -> list[list[Shard]]:
        """The shards of each task."""
        size = self.shards_per_task
        return [plan[i : i + size] for i in range(0, len(plan), size)]

    def _sample(self) -> list[list[Shard]]:
        """Evenly spaced shards, one per task, with at least _SAMPLE labels together (if
        the run has as many)."""
        num_labels = sum(shard.num_labels for shard in self.plan)
        return [[shard] for shard in self.plan[:: max(1, num_labels // _SAMPLE)]]
