"""A complete audit of a few rows, made in this process: what a run is read from."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.config.run_config import bind
from inflib.data.pairs_folder import PairsFolder
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.sketches.shard_sketcher import ShardSketcher
from inflib.storage.folder import Folder
from tests.support.prepared_run import build_run


def small_audit(
    folder: Path,
    rows: list[dict[str, Any]],
    kept: dict[str, pa.DataType],
    status: str = "trusted",
) -> AuditedRun:
    """The run of an audit of these rows, which are the query set q, too.

    kept: {own column: its type}; status: of the verdict on q, which is not judged.
    """
    recipe = build_run(folder, rows, kept=kept, token_budget=1500)
    run, sketcher = Folder(recipe.run), ShardSketcher(recipe)
    for pairs in ("train", "q"):
        for shard in PairsFolder(run / "pairs" / pairs).plan():
            sketcher(pairs, shard.name)
    scores, inputs = InfluenceFolder.of(run), score_inputs(run, recipe)
    passes = Passes(run, recipe.score.shards_per_task)
    solver = Solver(recipe.score, read_layers(run), passes)
    queries = read_queries(recipe.score, ["q"], passes)
    columns, records = solver.solve_all(queries)
    files = passes.score(scores.partials, "scores", columns)
    count, digest = scores.assemble(files, columns.names)
    record = ScoreRecord(
        inputs=inputs,
        sha256=digest,
        pairs=count,
        finite=solver.train.num_labels,
        curvatures=records,
        query_groups={"q": queries.shares.tolist()[0]},
    )
    scores.folder.write_json("done.json", record.model_dump())
    verdict = {"status": status, "reasons": ["it is small"]}
    (run / "report").write_json(
        "summary.json", {"queries": {"q": {"verdict": verdict}}}
    )
    (run / "report").write_json("done.json", {"scores": inputs})
    bind(recipe)
    return AuditedRun(recipe)
