"""A complete audit of a few rows, made in this process: what a run is read from."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.benchmarks.finished_store import write_influence
from inflib.config.run_config import bind
from inflib.data.pairs_folder import PairsFolder
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
    inputs = write_influence(recipe).inputs
    verdict = {"status": status, "reasons": ["it is small"]}
    (run / "report").write_json(
        "summary.json", {"queries": {"q": {"verdict": verdict}}}
    )
    (run / "report").write_json("done.json", {"scores": inputs})
    bind(recipe)
    return AuditedRun(recipe)
