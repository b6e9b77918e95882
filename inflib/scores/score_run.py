"""Sketches of a run to its scores, in this process: for tests and benchmarks."""

import pyarrow as pa

from inflib.config.score import Curvature, ScoreConfig
from inflib.data.label_edits import Edits
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import CurvatureRecord
from inflib.scores.score_table import score_shards
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


def score_run(
    run: Folder, config: ScoreConfig, queries: list[str], edits: Edits | None = None
) -> tuple[pa.Table, dict[Curvature, CurvatureRecord]]:
    """(scores of all training labels in plan order, how each curvature was solved).

    queries: names of the query sets; edits: of the training labels.
    """
    passes = Passes(run, config.shards_per_task, edits)
    solver = Solver(config, read_layers(run), passes)
    columns, records = solver.solve_all(read_queries(config, queries, passes))
    tables = score_shards(passes.train, passes.plan, columns)
    return pa.concat_tables(tables), records
