"""Passes and scores in this process, without Ray: for tests and benchmarks."""

from typing import Any

import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from inflib import damping, engine, scoring
from inflib.config_score import Kind, QueryLoss, ScoreConfig
from inflib.edits import Edits
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder
from inflib.score_table import score_shards


class LocalPasses:
    """Over a run's training sketches, see inflib.passes.Passes."""

    def __init__(self, run: Folder, edits: Edits | None = None) -> None:
        self.run, self.edits = run, edits
        self.plan = PairsFolder(run / "pairs" / "train").plan()

    def moments(self) -> scoring.Moments:
        return scoring.moments(self.run, "train", self.plan, self.edits)

    def query_sums(
        self, query: str, num_groups: int, loss: QueryLoss
    ) -> scoring.GroupSums:
        plan = PairsFolder(self.run / "pairs" / query).plan()
        return scoring.query_sums(self.run, query, plan, num_groups, loss)

    def products(
        self, kind: Kind, vectors: Float[Tensor, "k q"], lambdas: list[float]
    ) -> Float[Tensor, "k q"]:
        return scoring.curvature_products(
            self.run, "train", self.plan, kind, vectors, lambdas, self.edits
        )

    def noise(self, kind: Kind, num_probes: int) -> Float[Tensor, "k p"]:
        return scoring.noise_sums(
            self.run, "train", self.plan, kind, num_probes, self.edits
        )

    def sample(self, vectors: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
        plan = damping.sample_shards(self.plan)
        return scoring.alignments(self.run, "train", plan, vectors, self.edits)

    def sample_sizes(self, kind: Kind) -> Float[Tensor, "n 2"]:
        plan = damping.sample_shards(self.plan)
        return scoring.sizes(self.run, "train", plan, kind, self.edits)

    def say(self, text: str) -> None:
        pass


def score_run(
    run: Folder, config: ScoreConfig, queries: list[str], edits: Edits | None = None
) -> tuple[pa.Table, dict[Kind, dict[str, Any]]]:
    """(scores of all training labels in plan order, facts by curvature)."""
    passes = LocalPasses(run, edits)
    solver = engine.Solver(config, scoring.read_layers(run), passes)
    columns, facts = solver.solve_all(engine.read_queries(config, queries, passes))
    tables = score_shards(run, "train", passes.plan, columns, edits)
    return pa.concat_tables(tables), facts
