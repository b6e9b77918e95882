"""Which training labels drive this one decision? Influence on single query labels.

    inflib explain --run runs/demo --explain.pairs expert-3,expert-7
    inflib explain --run runs/demo --explain.pairs @ids.txt

For each query label asked for (all of the set, if none is): the most harmful and the
most helpful training labels, the nearest ones in gradient space, and those listed in
--explain.train_pairs, with influence and cosine, into explain/explain.parquet. Uses the
curvature and the damping that the run was scored with. Rerun to resume.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.report.console import show_explanation
from inflib.scores.explain import find_labels, read_ids, read_query_labels
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks
from ray_jobs.shared.session import Stage, start_ray

_AT_ONCE = 64
"""Query labels that are solved for together: 32 MiB of float64 at K = 65,536, and some
five times that in conjugate gradients."""

_SHOWN = 3


def explain(recipe: Recipe) -> list[dict[str, Any]]:
    """Write explain/explain.parquet of a run whose labels are scored; returns its rows
    and prints the first labels'."""
    run, config = Folder(recipe.run), recipe.explain
    query = recipe.query_set(config.query, "explain.query")
    influence = InfluenceFolder.current(recipe)
    wanted = read_ids(config.pairs)
    listed = read_ids(config.train_pairs)
    inputs = digest_of(
        scores=influence.record.inputs,
        query=query,
        pairs=wanted,
        listed=listed,
        top=config.top,
    )
    stage = Stage("explain", run / "explain")
    if stage.is_current(inputs):
        stage.skip()
    else:
        labels = find_labels(SketchSet(run, query), wanted)
        if listed:
            find_labels(SketchSet(run, "train"), listed)
        files = _explain(recipe, query, labels, frozenset(listed), stage.folder, inputs)
        table = pa.concat_tables([stage.folder.read_table(name) for name in files])
        stage.folder.write_table("explain.parquet", table)
        stage.folder.delete(*files)
        count = sum(len(ids) for _, ids in labels)
        stage.done({"query_labels": count}, {"inputs": inputs})
    table = stage.folder.read_table("explain.parquet")
    for pair_id in pc.unique(table["query_pair_id"]).to_pylist()[:_SHOWN]:
        rows = table.filter(pc.field("query_pair_id") == pair_id)
        show_explanation(pair_id, rows.to_pylist(), _texts(run, rows), Console())
    return table.to_pylist()


def _explain(
    recipe: Recipe,
    query: str,
    shards: list[tuple[Shard, list[str]]],
    listed: frozenset[str],
    target: Folder,
    inputs: str,
) -> list[str]:
    """Explain some query labels at a time, in files of `target`, unless they are
    there; returns the files' names."""
    start_ray(recipe)
    observe("explain")
    run, kind = Folder(recipe.run), recipe.score.reported
    passes = Passes(run, recipe.score.shards_per_task, execute=RayTasks())
    solver = Solver(recipe.score, read_layers(run), passes)
    damping = InfluenceFolder.of(run).damping(kind, query)
    sketches = SketchSet(run, query)
    chunks = [
        (shard, ids[start : start + _AT_ONCE])
        for shard, ids in shards
        for start in range(0, len(ids), _AT_ONCE)
    ]
    files = [f"{inputs}-{number:05}.parquet" for number in range(len(chunks))]
    there = target.names()
    for number, (file, (shard, ids)) in enumerate(zip(files, chunks, strict=True)):
        if file not in there:
            labels = read_query_labels(sketches, shard, ids, recipe.score.query_loss)
            ihvps = solver.invert(kind, labels.gradients, damping)
            rows = passes.explain(labels, ihvps, recipe.explain.top, listed)
            target.write_table(file, rows)
            print(f"explain: {number + 1} of {len(chunks)} parts", flush=True)
    return files


def _texts(run: Folder, rows: pa.Table) -> dict[str, dict[str, str]]:
    """{comparison_id: prompt and responses} of the rows' training labels."""
    folder, found = PairsFolder(run / "pairs" / "train"), {}
    plan = {shard.name: shard for shard in folder.plan()}
    for row in rows.to_pylist():
        name = row["comparison_id"]
        if name not in found:
            found[name] = folder.texts(plan[row["shard"]], name)
    return found


STAGES = [explain]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("explain")
