"""Which training labels drive this one decision? Influence on single query labels.

    python -m ray_jobs.explain --run runs/demo --explain.pairs '[expert-3, expert-7]'
    python -m ray_jobs.explain --run runs/demo --explain.pairs '["@ids.txt"]'

For each query label asked for (all of the set, if none is): the most harmful and the
most helpful training labels, the nearest ones in gradient space, and those listed in
--explain.train_pairs, with influence and cosine, into explain/explain.parquet. Uses the
curvature and the damping that the run was scored with. Rerun to resume.
"""

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.report.console import show_explanation
from inflib.scores.explain import find_labels, read_asked, read_ids
from inflib.scores.influence_folder import current_scores, digest_of
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import StorePasses
from ray_jobs.shared.session import Stage, main, start_ray

_AT_ONCE = 64
"""Query labels that are solved for together: 32 MiB of float64 at K = 65,536, and some
five times that in conjugate gradients."""

_SHOWN = 3


def explain(recipe: Recipe) -> None:
    """Write explain/explain.parquet of a run whose labels are scored, and print it."""
    run, config = Folder(recipe.run), recipe.explain
    query = recipe.query_set(config.query, "explain.query")
    scores = current_scores(run, recipe)
    wanted = read_ids(config.pairs)
    listed = read_ids(config.train_pairs)
    asked = {"query": query, "pairs": wanted, "listed": listed, "top": config.top}
    inputs = digest_of(scores=scores, **asked)
    stage = Stage("explain", run / "explain")
    done = stage.folder.exists("done.json")
    if done and stage.folder.read_json("done.json")["inputs"] == inputs:
        stage.skip()
    else:
        labels = find_labels(run, query, wanted)
        if listed:
            find_labels(run, "train", listed)
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


def _explain(
    recipe: Recipe,
    query: str,
    labels: list[tuple[Shard, list[str]]],
    listed: frozenset[str],
    target: Folder,
    inputs: str,
) -> list[str]:
    """Explain some query labels at a time, in files of `target`, unless they are
    there; returns the files' names."""
    start_ray(recipe)
    observe("explain")
    run, kind = Folder(recipe.run), recipe.score.curvatures[0]
    passes = StorePasses(run, recipe.score.group_shards)
    solver = Solver(recipe.score, read_layers(run), passes)
    facts = (run / "influence").read_json("done.json")["curvatures"][kind]
    damping = facts["queries"][query]["damping"] if "queries" in facts else None
    chunks = [
        (shard, ids[start : start + _AT_ONCE])
        for shard, ids in labels
        for start in range(0, len(ids), _AT_ONCE)
    ]
    files = [f"{inputs}-{number:05}.parquet" for number in range(len(chunks))]
    there = target.names()
    for number, (file, (shard, ids)) in enumerate(zip(files, chunks, strict=True)):
        if file not in there:
            own = read_asked(run, query, shard, ids, recipe.score.query_loss)
            ihvps = solver.invert(kind, own.gradients, damping)
            found = passes.explain(own, ihvps, recipe.explain.top, listed)
            target.write_table(file, found)
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


if __name__ == "__main__":
    main(__doc__, [explain])
