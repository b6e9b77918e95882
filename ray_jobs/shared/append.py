"""More training labels for a run that is prepared."""

from itertools import groupby
from typing import Any

import pyarrow as pa
import ray

from inflib.config.recipe import Recipe
from inflib.data.input_files import Sources
from inflib.data.label_index import LabelKeys, hashes
from inflib.data.new_labels import (
    Known,
    check_columns,
    keep_new,
    merge_labels,
    read_known,
)
from inflib.data.pairs_folder import COMPARISONS, PairsFolder, Shard
from inflib.data.row_schema import Place
from inflib.data.shard_tables import label_table
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import Stage, start_ray
from ray_jobs.shared.sharding import (
    index_labels,
    list_unused,
    read_files,
    sort_rows,
    write_shards,
)


def append(
    recipe: Recipe, stage: Stage, files: list[str], sources: Sources
) -> dict[str, Any]:
    """Add the new labels of `files`, those that are new or have grown, to pairs/train.

    The plan is what counts and is written when all it names is there, so that an
    interrupted call can be repeated. Raises ValueError if a known label was changed.
    """
    folder = PairsFolder(stage.folder / "train")
    start_ray(recipe)
    observe("prepare")
    known = read_known(folder)
    rows = read_files(
        [
            {"pairs": "train", "file": file, "name": sources["train"][file]["name"]}
            for file in files
        ],
        recipe,
    )
    index = index_labels(rows, ["train"])["train"]
    index.drop_duplicates()
    new = keep_new(index, known, files)
    listed = folder.folder.read_table("excluded.parquet").to_pylist()
    others = [row for row in listed if row["file"] not in files]
    list_unused(recipe, "train", index, others + index.unused)
    if lost := check_columns(index.kinds, known.kept):
        print(f"prepare: left out columns that the run has not: {lost}", flush=True)
    places = known.comparison_places(new.comparison)[:, 0] >= 0
    onto = {place for place, joins in zip(_places(new), places, strict=True) if joins}
    plan = _join(folder, known, sort_rows(rows, set(), onto)) if onto else folder.plan()
    fresh = set(_places(new)) - onto
    if fresh:
        more = write_shards(
            sort_rows(rows, set(), fresh),
            stage.folder,
            {"train": known.kept},
            recipe.prepare.shard_rows,
            first=len(plan),
        )
        plan = plan + more["train"]
    folder.write_plan(plan)
    report = stage.folder.read_json("report.json")
    report.setdefault("appended", []).append(index.report())
    stage.folder.write_json("report.json", report)
    stage.folder.write_json("sources.json", sources)
    folder.folder.delete(*folder.unplanned(plan))
    print(
        f"prepare: {len(new.pair)} labels appended, {len(onto)} of them on comparisons "
        "that the run has; reward model and sketches stay as they are",
        flush=True,
    )
    digest = stage.folder.read_json("done.json")["tokenizer_sha256"]
    plans = [PairsFolder(stage.folder / q).plan() for q in recipe.prepare.queries]
    total = sum(shard.num_labels for each in [plan, *plans] for shard in each)
    facts = {"pairs": total, "appended": len(new.pair)}
    return stage.done(facts, {"tokenizer_sha256": digest})


def _join(folder: PairsFolder, known: Known, rows: Any) -> list[Shard]:
    """The plan, with labels on comparisons that it has."""
    plan = folder.plan()
    texts = [n for n in COMPARISONS.names if n not in ("comparison_id", "num_cut")]
    tables = ray.get(rows.drop_columns(texts).to_arrow_refs())
    labels = label_table(pa.concat_tables([t for t in tables if len(t)]), known.kept)
    places = known.comparison_places(hashes(labels["comparison_id"].to_pylist()))
    by_shard = sorted(range(len(labels)), key=lambda i: places[i, 0])
    for shard, some in groupby(by_shard, key=lambda i: int(places[i, 0])):
        mine = list(some)
        more = labels.take(mine)
        plan[shard] = merge_labels(
            folder, plan[shard], more, [int(places[i, 1]) for i in mine]
        )
    return plan


def _places(labels: LabelKeys) -> list[Place]:
    return [
        ("train", file, row)
        for file, row in zip(labels.file, labels.row.tolist(), strict=True)
    ]
