"""Rows of input files to shards of pairs, by Ray Data: for prepare and append."""

from array import array
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from inflib.config.recipe import Recipe
from inflib.data.label_index import COLUMNS, LabelIndex
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.data.row_schema import BAD, Place
from inflib.data.rows import read_file, used_rows
from inflib.data.shard_tables import excluded_table, plan_shards, shard_tables
from inflib.storage.folder import Folder
from inflib.telemetry import Clock, Progress, event
from ray_jobs.shared.observe import observe, watched


def read_files(files: list[dict[str, str]], recipe: Recipe) -> Any:
    """Ray dataset of the tokenised rows of files ({pairs, file, name} each)."""
    return (
        ray.data.from_items(files, override_num_blocks=len(files))
        .map_batches(_read, batch_size=1, fn_kwargs={"recipe": recipe})
        .materialize()
    )


def index_labels(rows: Any, names: list[str]) -> dict[str, LabelIndex]:
    """Index of each named pair set."""
    index = {pairs: LabelIndex() for pairs in names}
    columns = rows.select_columns(["pairs", *COLUMNS])
    for batch in columns.iter_batches(batch_size=4096, batch_format="pyarrow"):
        for pairs, counts in index.items():
            counts.add(batch.filter(pc.field("pairs") == pairs))
    return index


def list_unused(
    recipe: Recipe, pairs: str, index: LabelIndex, unused: list[dict[str, Any]]
) -> None:
    """Write all rows left out of a pair set to excluded.parquet, and say so.

    Raises ValueError when the recipe says to stop at the bad rows of the index.
    """
    folder = Folder(recipe.run) / "pairs" / pairs
    folder.write_table("excluded.parquet", excluded_table(unused))
    if not index.unused:
        return
    listed = (
        f"{len(index.unused)} rows left out, all listed in {folder.url}/"
        "excluded.parquet; first:"
    )
    for row in index.unused[:10]:
        listed += f"\n  {row['file']} row {row['row']}: {row['problem']}"
    if recipe.prepare.on_bad_rows == "stop" and index.states[BAD]:
        raise ValueError(f"prepare.on_bad_rows is stop. {pairs}: {listed}")
    print(f"prepare: {pairs}: {listed}", flush=True)


def sort_rows(rows: Any, dropped: set[Place], only: set[Place] | None = None) -> Any:
    """The used rows, by (pair set, comparison_id, pair_id)."""
    used = rows.map_batches(
        used_rows,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"dropped": dropped, "only": only},
    )
    return used.sort(["pairs", "comparison_id", "pair_id"]).materialize()


def write_shards(
    ordered: Any,
    folder: Folder,
    kept: dict[str, dict[str, pa.DataType]],
    shard_rows: int,
    first: int = 0,
) -> dict[str, list[Shard]]:
    """Shards of sorted rows, by pair set, numbered from `first`.

    kept: the columns kept beside the labels, by pair set.
    """
    starts = {pairs: array("q") for pairs in kept}
    totals = {pairs: array("q") for pairs in kept}
    last, row = ("", ""), 0
    keys = ordered.select_columns(["pairs", "comparison_id", "total"])
    for batch in keys.iter_batches(batch_size=4096, batch_format="numpy"):
        for pairs, comparison, total in zip(*batch.values(), strict=True):
            if (pairs, comparison) != last:
                starts[pairs].append(row)
                totals[pairs].append(int(total))
            last, row = (pairs, comparison), row + 1
    names, firsts = [], []
    for pairs in sorted(kept):
        if starts[pairs]:
            cuts = [0, *plan_shards(totals[pairs], shard_rows)]
            names += [(pairs, f"{first + i:05}") for i in range(len(cuts))]
            firsts += [starts[pairs][cut] for cut in cuts]
    parts = ordered.split_at_indices(firsts[1:]) if firsts[1:] else [ordered]
    tasks = [
        _write_shard.remote(
            PairsFolder(folder / pairs), name, kept[pairs], *part.to_arrow_refs()
        )
        for (pairs, name), part in zip(names, parts, strict=bool(names))
    ]
    shards: dict[str, list[Shard]] = {pairs: [] for pairs in kept}
    progress = Progress("prepare", len(tasks), "shards")
    for (pairs, _), task in zip(names, tasks, strict=True):
        shards[pairs].append(ray.get(task))
        progress.advance(1)
    progress.close()
    return shards


def _read(batch: dict[str, Any], recipe: Recipe) -> Iterator[pa.Table]:
    observe("prepare")
    clock, num_rows, file = Clock(), 0, batch["file"][0]
    with watched(f"reading {file}"):
        for table in read_file(batch["pairs"][0], file, batch["name"][0], recipe):
            num_rows += len(table)
            yield table
    clock.lap("read")
    event(f"read {file}", pairs=num_rows, seconds=clock.laps)


@ray.remote
def _write_shard(
    target: PairsFolder, name: str, kept: dict[str, pa.DataType], *tables: pa.Table
) -> Shard:
    observe("prepare")
    clock = Clock()
    rows = pa.concat_tables([table for table in tables if len(table)])
    with watched(f"writing {target.folder.url} shard {name}"):
        shard = target.write_shard(name, *shard_tables(rows, kept))
    clock.lap("write")
    event(f"wrote shard {name}", shard=name, seconds=clock.laps)
    return shard
