"""A run whose pairs and sketches were generated, to one that is scored: influence/ and
what else the report reads."""

import json

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import read_queries
from inflib.scores.score_record import ScoreRecord
from inflib.scores.score_run import score_run
from inflib.storage.folder import Folder

_PARTIAL = "all.parquet"


def finish(recipe: Recipe) -> None:
    """Score the run in this process; write influence/, pairs/report.json and
    config.json."""
    run, queries = Folder(recipe.run), list(recipe.prepare.queries)
    table, curvatures = score_run(run, recipe.score, queries)
    influence = InfluenceFolder.of(run)
    influence.partials.write_table(_PARTIAL, table)
    names = [f"{kind}_{q}" for kind in recipe.score.score_names for q in queries]
    rows, digest = influence.assemble([_PARTIAL], names)
    influence.partials.delete(_PARTIAL)
    passes = Passes(run, recipe.score.shards_per_task)
    vectors = read_queries(recipe.score, queries, passes)
    record = ScoreRecord(
        inputs=score_inputs(run, recipe),
        sha256=digest,
        pairs=rows,
        finite=float((table["status"].to_numpy(zero_copy_only=False) == "ok").sum()),
        curvatures=curvatures,
        query_groups=dict(zip(queries, vectors.shares.tolist(), strict=True)),
    )
    facts = json.loads(record.model_dump_json()) | {"seconds": 1.0, "bytes": 1}
    influence.folder.write_json("done.json", facts)
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
