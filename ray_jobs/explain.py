"""Show which training labels drive single query labels.

    inflib explain --run runs/demo --explain.pairs expert-3,expert-7
    inflib explain --run runs/demo --explain.pairs @ids.txt

For each of these query labels (without --explain.pairs: for all of the set), writes to
explain/explain.parquet the most harmful and the most helpful training labels, the
nearest ones by the cosine of their gradients, and those of --explain.train_pairs, each
with its influence and cosine. Prints those of the first three query labels. Uses the
curvature and the damping that the run was scored with. Rerun to resume.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.report.study_console import show_explanation, show_verdicts
from inflib.report.tables import console
from inflib.scores.explain import find_labels, read_ids, read_query_labels
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage

_AT_ONCE = 64
"""Query labels whose H^-1 v are computed together: 32 MiB of float64 vectors at
K = 65,536, and some five times that in conjugate gradients."""

_SHOWN = 3
"""Query labels whose rows are printed."""


def explain(recipe: Recipe) -> list[dict[str, Any]]:
    """Write explain/explain.parquet of a scored run; returns its rows.

    Prints those of the first query labels. Raises ValueError for an unknown label, or
    scores that are not of the run's labels, sketches or settings.
    """
    run, config = Folder(recipe.run), recipe.explain
    query = recipe.query_set(config.query, "explain.query")
    influence = InfluenceFolder.current(recipe)
    query_ids = read_ids(config.pairs)
    listed = read_ids(config.train_pairs)
    inputs = digest_of(
        scores=influence.record.inputs,
        query=query,
        pairs=query_ids,
        listed=listed,
        top=config.top,
    )
    stage = Stage("explain", run / "explain")
    if stage.is_current(inputs):
        stage.skip()
    else:
        shards = find_labels(SketchSet(run, query), query_ids)
        if listed:
            find_labels(SketchSet(run, "train"), listed)
        files = _explain(recipe, query, shards, frozenset(listed), stage.folder, inputs)
        table = pa.concat_tables([stage.folder.read_table(name) for name in files])
        stage.folder.write_table("explain.parquet", table)
        stage.folder.delete(*files)
        count = sum(len(ids) for _, ids in shards)
        stage.done({"query_labels": count}, {"inputs": inputs})
    show_verdicts(run, console())
    table = stage.folder.read_table("explain.parquet")
    for pair_id in pc.unique(table["query_pair_id"]).to_pylist()[:_SHOWN]:
        rows = table.filter(pc.field("query_pair_id") == pair_id)
        show_explanation(pair_id, rows.to_pylist(), _texts(run, rows), console())
    return table.to_pylist()


def _explain(
    recipe: Recipe,
    query: str,
    shards: list[tuple[Shard, list[str]]],
    listed: frozenset[str],
    target: Folder,
    inputs: str,
) -> list[str]:
    """Explain at most _AT_ONCE query labels at a time, in a file of `target` each.

    shards: (shard, pair_ids of its query labels); listed: training labels that get rows
    for every query label. Files that are there are kept. Returns the files' names.
    """
    start_ray(recipe)
    observe("explain")
    run, kind = Folder(recipe.run), recipe.score.reported
    passes = Passes(run, recipe.score.shards_per_task, executor=RayTasks())
    solver = Solver(recipe.score, read_layers(run), passes)
    damping = InfluenceFolder.of(run).damping(kind, query)
    sketches = SketchSet(run, query)
    chunks = [
        (shard, ids[start : start + _AT_ONCE])
        for shard, ids in shards
        for start in range(0, len(ids), _AT_ONCE)
    ]
    files = [f"{inputs}-{number:05}.parquet" for number in range(len(chunks))]
    complete = target.names()
    for number, (file, (shard, ids)) in enumerate(zip(files, chunks, strict=True)):
        if file not in complete:
            labels = read_query_labels(sketches, shard, ids, recipe.score.query_loss)
            ihvps = solver.invert(kind, labels.gradients, damping)
            rows = passes.explain(labels, ihvps, recipe.explain.top, listed)
            target.write_table(file, rows)
            print(f"explain: {number + 1} of {len(chunks)} parts", flush=True)
    return files


def _texts(run: Folder, rows: pa.Table) -> dict[str, dict[str, str]]:
    """{comparison_id: prompt and responses} of the rows' training labels."""
    folder, texts = PairsFolder(run / "pairs" / "train"), {}
    plan = {shard.name: shard for shard in folder.plan()}
    for row in rows.to_pylist():
        comparison = row["comparison_id"]
        if comparison not in texts:
            texts[comparison] = folder.texts(plan[row["shard"]], comparison)
    return texts


STAGES = [explain]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("explain")
