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

from inflib import engine, explaining, scoring
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder
from inflib.terminal import show_explanation
from ray_jobs.observe import observe
from ray_jobs.passes import StorePasses
from ray_jobs.session import Stage, main, start_ray

_AT_ONCE = 64
"""Query labels that are solved for together: 32 MiB of float64 at K = 65,536, and some
five times that in conjugate gradients."""

_SHOWN = 3


def explain(recipe: Recipe) -> None:
    """Write explain/explain.parquet of a run whose labels are scored."""
    run, config = Folder(recipe.run), recipe.explain
    query = recipe.query_set(config.query, "explain.query")
    inputs = scoring.current_scores(run, recipe)
    wanted = explaining.read_ids(config.pairs)
    listed = explaining.read_ids(config.train_pairs)
    labels = explaining.find_labels(run, query, wanted)
    if listed:
        explaining.find_labels(run, "train", listed)
    key = scoring.key(
        scores=inputs, query=query, pairs=wanted, listed=listed, top=config.top
    )
    stage = Stage("explain", run / "explain")
    start_ray(recipe)
    observe("explain")
    passes = StorePasses(run, recipe.score.group_shards)
    solver = engine.Solver(recipe.score, scoring.read_layers(run), passes)
    kind = recipe.score.curvatures[0]
    facts = (run / "influence").read_json("done.json")["curvatures"][kind]
    damping = facts["queries"][query]["damping"] if "queries" in facts else None
    files = []
    chunks = [
        (shard, ids[start : start + _AT_ONCE])
        for shard, ids in labels
        for start in range(0, len(ids), _AT_ONCE)
    ]
    there = stage.folder.names()
    for number, (shard, ids) in enumerate(chunks):
        files.append(f"{key}-{number:05}.parquet")
        if files[-1] not in there:
            asked = explaining.read_asked(run, query, shard, ids)
            ihvps = solver.invert(kind, asked.gradients, damping)
            found = passes.explain(asked, ihvps, config.top, frozenset(listed))
            stage.folder.write_table(files[-1], found)
            print(f"explain: {number + 1} of {len(chunks)} parts", flush=True)
    table = pa.concat_tables([stage.folder.read_table(name) for name in files])
    stage.folder.write_table("explain.parquet", table)
    stage.folder.delete(*files)
    for pair_id in pc.unique(table["query_pair_id"]).to_pylist()[:_SHOWN]:
        rows = table.filter(pc.field("query_pair_id") == pair_id)
        texts = _texts(run, rows)
        show_explanation(pair_id, rows.to_pylist(), texts, Console())
    stage.done({"query_labels": sum(len(ids) for _, ids in chunks)}, {"inputs": key})


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
