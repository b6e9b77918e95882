"""Rows of input files to shards of comparisons and labels, with Ray Data.

Rows are tokenised file by file, sorted by comparison, and cut into shards. Used by
prepare and append.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from inflib.config.recipe import Recipe
from inflib.data.input_files import Sources
from inflib.data.label_index import COLUMNS, LabelIndex
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.data.row_schema import BAD
from inflib.data.rows import read_file, used_rows
from inflib.data.shard_tables import excluded_table, plan_shards, shard_tables
from inflib.files.parts import Part, count_lines, numbered, parts
from inflib.files.readers import options_of
from inflib.shapes.gathering import GATHERED
from inflib.shapes.shape import Shape
from inflib.storage.folder import Folder
from inflib.telemetry import Clock, Progress, event
from ray_jobs.shared.observe import observe, watched


def read_files(
    pairs: dict[str, Sequence[str]], sources: Sources, recipe: Recipe
) -> Any:
    """Ray dataset of the tokenised rows of files; pairs: {pair set: its files}."""
    files = [
        {
            "pairs": name,
            "file": file,
            "name": sources[name][file]["name"],
            "shape": json.dumps(sources[name][file]["shape"]),
            "part": json.dumps(part and vars(part)),
            "date": sources[name][file]["date"],
        }
        for name, paths in pairs.items()
        for file in paths
        for part in _parts(file, sources[name][file]["shape"], recipe, name)
    ]
    return (
        ray.data.from_items(files, override_num_blocks=len(files))
        .map_batches(_read, batch_size=1, fn_kwargs={"recipe": recipe})
        .materialize()
    )


def index_labels(rows: Any, names: list[str]) -> dict[str, LabelIndex]:
    """{pair set: index of its rows} for the pair sets with these names."""
    indexes = {pairs: LabelIndex() for pairs in names}
    columns = rows.select_columns(["pairs", *COLUMNS])
    for batch in columns.iter_batches(batch_size=4096, batch_format="pyarrow"):
        for pairs, index in indexes.items():
            index.add(batch.filter(pc.field("pairs") == pairs))
    return indexes


def list_unused(
    recipe: Recipe, pairs: str, index: LabelIndex, unused: list[dict[str, Any]]
) -> None:
    """Write the rows left out of a pair set to excluded.parquet; print the first ten.

    unused: all of them, with those of earlier calls; index: those of this one. Raises
    ValueError when the index has bad rows and prepare.on_bad_rows is `stop`.
    """
    folder = Folder(recipe.run) / "pairs" / pairs
    folder.write_table("excluded.parquet", excluded_table(unused))
    if not index.unused:
        return
    message = (
        f"{len(index.unused)} rows left out, all listed in {folder.url}/"
        "excluded.parquet; first:"
    )
    for row in index.unused[:10]:
        message += f"\n  {row['file']} row {row['row']}: {row['problem']}"
    if recipe.prepare.on_bad_rows == "stop" and index.states[BAD]:
        raise ValueError(f"prepare.on_bad_rows is stop. {pairs}: {message}")
    print(f"prepare: {pairs}: {message}", flush=True)


def sort_rows(
    rows: Any,
    by_labeler: frozenset[str],
    dropped: np.ndarray | None = None,
    only: np.ndarray | None = None,
) -> Any:
    """The used rows, sorted by pair set, comparison_id and pair_id.

    by_labeler: pair sets whose labels are told by pair_id and labeler; dropped: places
    of rows to leave out; only: places of rows to keep (None: all); both uint64.
    """
    places = ray.put((dropped, only))  # once on each node, not with every task
    used = rows.map_batches(
        _used_rows,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"places": [places], "by_labeler": by_labeler},
    )
    return used.sort(["pairs", "comparison_id", "pair_id"]).materialize()


def write_shards(
    ordered: Any,
    folder: Folder,
    kept: dict[str, dict[str, pa.DataType]],
    shard_rows: int,
    first: int = 0,
) -> dict[str, list[Shard]]:
    """Write sorted rows as shards; returns {pair set: its shards}.

    kept: {pair set: {column kept beside the labels: its type}}; shard_rows: most
    comparisons of a shard; first: number of the first shard.
    """
    # Of every comparison: its first row, and its number of tokens.
    first_rows = {pairs: array("q") for pairs in kept}
    num_tokens = {pairs: array("q") for pairs in kept}
    last, row = ("", ""), 0
    keys = ordered.select_columns(["pairs", "comparison_id", "total"])
    for batch in keys.iter_batches(batch_size=4096, batch_format="numpy"):
        for pairs, comparison, total in zip(*batch.values(), strict=True):
            if (pairs, comparison) != last:
                first_rows[pairs].append(row)
                num_tokens[pairs].append(int(total))
            last, row = (pairs, comparison), row + 1
    names, starts = [], []
    for pairs in sorted(kept):
        if first_rows[pairs]:
            cuts = [0, *plan_shards(num_tokens[pairs], shard_rows)]
            names += [(pairs, f"{first + i:05}") for i in range(len(cuts))]
            starts += [first_rows[pairs][cut] for cut in cuts]
    datasets = ordered.split_at_indices(starts[1:]) if starts[1:] else [ordered]
    tasks = [
        _write_shard.remote(
            PairsFolder(folder / pairs), name, kept[pairs], *dataset.to_arrow_refs()
        )
        for (pairs, name), dataset in zip(names, datasets, strict=bool(names))
    ]
    shards: dict[str, list[Shard]] = {pairs: [] for pairs in kept}
    progress = Progress("prepare", len(tasks), "shards")
    for (pairs, _), task in zip(names, tasks, strict=True):
        shards[pairs].append(ray.get(task))
        progress.advance(1)
    progress.close()
    return shards


def _parts(
    file: str, shape: dict[str, Any], recipe: Recipe, pairs: str
) -> list[Part | None]:
    """Parts of a file that different tasks read, with their first rows counted; None:
    the whole file."""
    if shape["format"] in GATHERED:
        return [None]
    found = parts(file, options_of(recipe.prepare.sources[pairs]))
    counts = ray.get([_count_lines.remote(file, part) for part in found])
    return [*numbered(found, counts)] or [None]


@ray.remote
def _count_lines(file: str, part: Part) -> int:
    return count_lines(file, part)


def _used_rows(
    rows: pa.Table, places: list[Any], by_labeler: frozenset[str]
) -> pa.Table:
    """used_rows, with the places in Ray's object store."""
    dropped, only = ray.get(places[0])
    return used_rows(rows, dropped, only, by_labeler)


def _read(batch: dict[str, Any], recipe: Recipe) -> Iterator[pa.Table]:
    """Tables of the tokenised rows of one file; the batch is a row of read_files."""
    observe("prepare")
    clock, num_rows, file = Clock(), 0, batch["file"][0]
    with watched(f"reading {file}"):
        shape = Shape.from_json(json.loads(batch["shape"][0]))
        pairs, name = batch["pairs"][0], batch["name"][0]
        fields = json.loads(batch["part"][0])
        part = Part(**fields) if fields else None
        date = batch["date"][0]
        for table in read_file(pairs, file, name, recipe, shape, part, date):
            num_rows += len(table)
            yield table
    clock.lap("read")
    event(f"read {file}", pairs=num_rows, seconds=clock.laps)


@ray.remote
def _write_shard(
    target: PairsFolder, name: str, kept: dict[str, pa.DataType], *tables: pa.Table
) -> Shard:
    """Write a shard's comparisons and labels, from the tables of its rows."""
    observe("prepare")
    clock = Clock()
    rows = pa.concat_tables([table for table in tables if len(table)])
    with watched(f"writing {target.folder.url} shard {name}"):
        shard = target.write_shard(name, *shard_tables(rows, kept))
    clock.lap("write")
    event(f"wrote shard {name}", shard=name, seconds=clock.laps)
    return shard
