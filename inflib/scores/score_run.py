"""Passes and scores in this process, without Ray: for tests and benchmarks."""

from typing import Any

import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Kind, QueryLoss, ScoreConfig
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder
from inflib.scores import sums
from inflib.scores.passes import sample_shards
from inflib.scores.score_table import score_shards
from inflib.scores.solver import Solver, read_queries
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


class LocalPasses:
    """Over a run's training sketches, see inflib.scores.passes.Passes."""

    def __init__(self, run: Folder, edits: Edits | None = None) -> None:
        self.run, self.edits = run, edits
        self.plan = PairsFolder(run / "pairs" / "train").plan()

    def moments(self) -> sums.Moments:
        return sums.moments(self.run, "train", self.plan, self.edits)

    def query_sums(
        self, query: str, num_groups: int, loss: QueryLoss
    ) -> sums.GroupSums:
        plan = PairsFolder(self.run / "pairs" / query).plan()
        return sums.query_sums(self.run, query, plan, num_groups, loss)

    def products(
        self, kind: Kind, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        return sums.curvature_products(
            self.run, "train", self.plan, kind, vectors, lambdas, self.edits
        )

    def noise(self, kind: Kind, num_probes: int) -> Float[Tensor, "k p"]:
        return sums.noise_sums(
            self.run, "train", self.plan, kind, num_probes, self.edits
        )

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        plan = sample_shards(self.plan)
        return sums.alignments(self.run, "train", plan, vectors, self.edits)

    def sample_sizes(self, kind: Kind) -> Float[Tensor, "n 2"]:
        plan = sample_shards(self.plan)
        return sums.sizes(self.run, "train", plan, kind, self.edits)

    def say(self, text: str) -> None:
        pass


def score_run(
    run: Folder, config: ScoreConfig, queries: list[str], edits: Edits | None = None
) -> tuple[pa.Table, dict[Kind, dict[str, Any]]]:
    """(scores of all training labels in plan order, facts by curvature)."""
    passes = LocalPasses(run, edits)
    solver = Solver(config, read_layers(run), passes)
    columns, facts = solver.solve_all(read_queries(config, queries, passes))
    tables = score_shards(run, "train", passes.plan, columns, edits)
    return pa.concat_tables(tables), facts
