"""New rows of training files to labels added to a run that is prepared.

A label on a comparison that the run has is merged into that comparison's shard; new
comparisons make shards of their own, after the others.
"""

from itertools import groupby
from typing import Any

import pyarrow as pa
import ray

from inflib.config.recipe import Recipe
from inflib.data.input_files import Sources
from inflib.data.label_index import LabelIndex, hash_ids
from inflib.data.new_labels import (
    StoredLabels,
    check_columns,
    keep_new,
    merge_labels,
    read_stored,
)
from inflib.data.pairs_folder import COMPARISONS, PairsFolder, Shard
from inflib.data.shard_tables import label_table
from ray_jobs.shared.look_at_pairs import look_at_pairs
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.sharding import (
    index_labels,
    list_unused,
    read_files,
    sort_rows,
    write_shards,
)
from ray_jobs.shared.stage import Stage


def append(
    recipe: Recipe, stage: Stage, files: list[str], sources: Sources
) -> dict[str, Any]:
    """Add the new labels of `files` to pairs/train; returns the stage's record.

    files: training files that are new or have grown. What counts is the plan, which is
    written when all shards it names are there, so that an interrupted call can be
    repeated. Raises ValueError if a known label was changed.
    """
    folder = PairsFolder(stage.folder / "train")
    start_ray(recipe)
    observe("prepare")
    known = read_stored(folder)
    done = stage.folder.read_json("done.json")
    rows = read_files({"train": files}, sources, recipe)
    index = index_labels(rows, ["train"])["train"]
    by_labeler = frozenset(done.get("ids_by_labeler", []))
    index.name_by_labeler("train" in by_labeler)
    index.drop_duplicates()
    if recipe.prepare.shared_with_train == "drop":
        _leave_out_queries(recipe, stage, index)
    new = keep_new(index, known, files)
    excluded = folder.folder.read_table("excluded.parquet").to_pylist()
    of_other_files = [row for row in excluded if row["file"] not in files]
    list_unused(recipe, "train", index, of_other_files + index.unused)
    if columns := check_columns(index.kinds, known.kept):
        print(f"prepare: left out columns that the run has not: {columns}", flush=True)
    is_known = known.comparison_places(new.comparison)[:, 0] >= 0
    # Rows whose comparison the run has, and rows with a new one.
    on_known, on_new = new.place[is_known], new.place[~is_known]
    if len(on_known):
        plan = _merge(folder, known, sort_rows(rows, by_labeler, only=on_known))
    else:
        plan = folder.plan()
    if len(on_new):
        new_shards = write_shards(
            sort_rows(rows, by_labeler, only=on_new),
            stage.folder,
            {"train": known.kept},
            recipe.prepare.shard_rows,
            first=len(plan),
        )
        plan = plan + new_shards["train"]
    folder.write_plan(plan)
    report = stage.folder.read_json("report.json")
    report.setdefault("appended", []).append(index.report())
    for pairs, facts in look_at_pairs(recipe, stage.folder).items():
        report[pairs] |= facts
    stage.folder.write_json("report.json", report)
    stage.folder.write_json("sources.json", sources)
    folder.folder.delete(*folder.unplanned(plan))
    print(
        f"prepare: {len(new.pair)} labels appended, {len(on_known)} of them on "
        "comparisons that the run has; reward model and sketches stay as they are",
        flush=True,
    )
    plans = [PairsFolder(stage.folder / q).plan() for q in recipe.prepare.queries]
    num_labels = sum(shard.num_labels for each in [plan, *plans] for shard in each)
    facts = {"pairs": num_labels, "appended": len(new.pair)}
    kept = ("tokenizer_sha256", "ids_by_labeler")
    return stage.done(facts, {name: done[name] for name in kept if name in done})


def _leave_out_queries(recipe: Recipe, stage: Stage, index: LabelIndex) -> None:
    """Leave out new labels on comparisons of the query sets, which stay as they are."""
    for pairs in recipe.prepare.queries:
        query = read_stored(PairsFolder(stage.folder / pairs)).labels.comparison
        problem = f"on a comparison of {pairs} (prepare.shared_with_train)"
        index.leave_out(query, problem)


def _merge(folder: PairsFolder, known: StoredLabels, rows: Any) -> list[Shard]:
    """Write the labels of these rows into the shards of their comparisons.

    Returns the new plan, which is not written yet.
    """
    plan = folder.plan()
    texts = [n for n in COMPARISONS.names if n not in ("comparison_id", "num_cut")]
    tables = ray.get(rows.drop_columns(texts).to_arrow_refs())
    labels = label_table(pa.concat_tables([t for t in tables if len(t)]), known.kept)
    # Shard and row of each label's comparison.
    places = known.comparison_places(hash_ids(labels["comparison_id"].to_pylist()))
    by_shard = sorted(range(len(labels)), key=lambda i: places[i, 0])
    for shard, indices in groupby(by_shard, key=lambda i: int(places[i, 0])):
        chosen = list(indices)
        rows_in_shard = [int(places[i, 1]) for i in chosen]
        plan[shard] = merge_labels(
            folder, plan[shard], labels.take(chosen), rows_in_shard
        )
    return plan
