"""A run whose pairs and sketches were generated, to one that is scored: influence/ and
what else the report reads."""

import json

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


def write_influence(recipe: Recipe) -> ScoreRecord:
    """Score the run in this process, into influence/; returns its record."""
    run, queries = Folder(recipe.run), list(recipe.prepare.queries)
    influence, passes = (
        InfluenceFolder.of(run),
        Passes(run, recipe.score.shards_per_task),
    )
    solver = Solver(recipe.score, read_layers(run), passes)
    vectors = read_queries(recipe.score, queries, passes)
    columns, curvatures = solver.solve_all(vectors)
    files = passes.score(influence.partials, "scores", columns)
    rows, digest = influence.assemble(files, columns.names)
    influence.partials.delete(*files)
    record = ScoreRecord(
        inputs=score_inputs(run, recipe),
        sha256=digest,
        pairs=rows,
        finite=solver.train.num_labels,
        curvatures=curvatures,
        query_groups=dict(zip(queries, vectors.shares.tolist(), strict=True)),
    )
    facts = json.loads(record.model_dump_json()) | {"seconds": 1.0, "bytes": 1}
    influence.folder.write_json("done.json", facts)
    return record


def finish(recipe: Recipe) -> None:
    """Write influence/, pairs/report.json and config.json."""
    write_influence(recipe)
    run = Folder(recipe.run)
    reports = {name: _report(run, name) for name in recipe.prepare.sources}
    (run / "pairs").write_json("report.json", reports)
    run.write_json("config.json", recipe.model_dump(mode="json"))


def _report(run: Folder, pairs: str) -> dict[str, object]:
    """What pairs/report.json says of a pair set, as far as it is known."""
    plan = PairsFolder(run / "pairs" / pairs).plan()
    return {
        "labels": sum(shard.num_labels for shard in plan),
        "comparisons": sum(shard.num_comparisons for shard in plan),
        "excluded": {"too long": 2},
        "share_longer_chosen": 0.5,
        "prompts_cut": 0,
    }
