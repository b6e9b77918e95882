"""Stage 1 of 5: preference data -> comparisons and labels, tokenised, in shards.

python -m ray_jobs.prepare --config recipes/demo.yaml
ray job submit --working-dir . -- python -m ray_jobs.prepare --config RECIPE
"""

import os.path
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from inflib.census import COLUMNS, Census
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder, Shard
from inflib.preparing import (
    BAD,
    USED,
    excluded_table,
    kept_columns,
    plan_shards,
    read_file,
    shard_tables,
    used_rows,
)
from inflib.readers import find_files, fingerprint
from inflib.tokenizer import max_positions
from ray_jobs.session import Stage, main, start_ray


def prepare(recipe: Recipe) -> None:
    """Write pairs/ of a run, unless it is complete."""
    stage = Stage("prepare", Folder(recipe.run) / "pairs")
    files = [
        {"pairs": pairs, "file": file, "name": name}
        for pairs, source in recipe.prepare.sources.items()
        for file, name in _named(find_files(source.path))
    ]
    sources = {item["file"]: fingerprint(item["file"]) for item in files}
    if stage.folder.exists("done.json"):
        _check_unchanged(stage.folder, sources)
        return stage.skip()
    model = recipe.model
    longest = max_positions(model.base, model.revision, model.trust_remote_code)
    if longest and recipe.prepare.max_length > longest:
        raise ValueError(
            f"prepare.max_length {recipe.prepare.max_length} is more than the "
            f"{longest} positions of {model.base}"
        )
    start_ray(recipe)
    rows = (
        ray.data.from_items(files, override_num_blocks=len(files))
        .map_batches(_read, batch_size=1, fn_kwargs={"recipe": recipe})
        .materialize()
    )
    census = {pairs: Census() for pairs in recipe.prepare.sources}
    columns = rows.select_columns(["pairs", *COLUMNS])
    for batch in columns.iter_batches(batch_size=4096, batch_format="pyarrow"):
        for pairs, counts in census.items():
            counts.add(batch.filter(pc.field("pairs") == pairs))
    dropped = {
        (pairs, *place)
        for pairs, counts in census.items()
        for place in counts.drop_duplicates()
    }
    for pairs, counts in census.items():
        _check(recipe, pairs, counts, stage.folder / pairs)
    ordered = rows.map_batches(
        used_rows,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"dropped": dropped},
    ).sort(["pairs", "comparison_id", "pair_id"])
    _write_shards(ordered.materialize(), census, stage.folder, recipe)
    report = {pairs: counts.report() for pairs, counts in census.items()}
    for pairs, counts in census.items():
        both = np.intersect1d(counts.comparisons(), census["train"].comparisons())
        report[pairs]["also_in_train"] = 0 if pairs == "train" else len(both)
        print(f"prepare: {pairs}: {counts}", flush=True)
    stage.folder.write_json("report.json", report)
    stage.folder.write_json("sources.json", sources)
    stage.done({"pairs": sum(r["labels"] for r in report.values())})


def _check_unchanged(folder: Folder, sources: dict[str, str]) -> None:
    """Raise ValueError if the run was prepared from other contents of its files."""
    stored = folder.read_json("sources.json")
    changed = [f for f, mark in sources.items() if stored.get(f) != mark]
    if changed:
        raise ValueError(
            f"{folder.url} was prepared from other contents of {changed[0]}: choose "
            "another --run, or delete that folder and all later ones"
        )


def _named(files: list[str]) -> list[tuple[str, str]]:
    """Each file with a short name of its own, which starts the ids of its rows."""
    bases = [os.path.basename(file.rstrip("/")) for file in files]
    return [
        (file, base if bases.count(base) == 1 else f"{i}/{base}")
        for i, (file, base) in enumerate(zip(files, bases, strict=True))
    ]


def _read(batch: dict[str, Any], recipe: Recipe) -> Iterator[pa.Table]:
    yield from read_file(batch["pairs"][0], batch["file"][0], batch["name"][0], recipe)


def _check(recipe: Recipe, pairs: str, census: Census, folder: Folder) -> None:
    """List the rows left out; stop where nothing is left or the recipe says so."""
    folder.write_table("excluded.parquet", excluded_table(census.unused))
    where = f"{folder.url}/excluded.parquet"
    listed = f"{len(census.unused)} rows left out, all listed in {where}; first:"
    for row in census.unused[:10]:
        listed += f"\n  {row['file']} row {row['row']}: {row['problem']}"
    if recipe.prepare.on_bad_rows == "stop" and census.states[BAD]:
        raise ValueError(f"prepare.on_bad_rows is stop. {pairs}: {listed}")
    if not census.states[USED]:
        raise ValueError(f"no usable pair in {pairs}: {census}; {listed}")
    if census.unused:
        print(f"prepare: {pairs}: {listed}", flush=True)


def _write_shards(
    ordered: Any, census: dict[str, Census], folder: Folder, recipe: Recipe
) -> None:
    starts: dict[str, list[int]] = {pairs: [] for pairs in census}
    totals: dict[str, list[int]] = {pairs: [] for pairs in census}
    last, row = ("", ""), 0
    keys = ordered.select_columns(["pairs", "comparison_id", "total"])
    for batch in keys.iter_batches(batch_size=4096, batch_format="numpy"):
        for pairs, comparison, total in zip(*batch.values(), strict=True):
            if (pairs, comparison) != last:
                starts[pairs].append(row)
                totals[pairs].append(int(total))
            last, row = (pairs, comparison), row + 1
    names, firsts = [], []
    for pairs in sorted(census):
        cuts = [0, *plan_shards(totals[pairs], recipe.prepare.shard_rows)]
        names += [(pairs, f"{i:05}") for i in range(len(cuts))]
        firsts += [starts[pairs][cut] for cut in cuts]
    parts = ordered.split_at_indices(firsts[1:]) if firsts[1:] else [ordered]
    shards = ray.get(
        [
            _write_shard.remote(
                PairsFolder(folder / pairs),
                name,
                kept_columns(census[pairs].kinds),
                *part.to_arrow_refs(),
            )
            for (pairs, name), part in zip(names, parts, strict=True)
        ]
    )
    for pairs in census:
        mine = [s for s, (of, _) in zip(shards, names, strict=True) if of == pairs]
        PairsFolder(folder / pairs).write_plan(mine)


@ray.remote
def _write_shard(
    target: PairsFolder, name: str, kept: dict[str, pa.DataType], *tables: pa.Table
) -> Shard:
    rows = pa.concat_tables([table for table in tables if len(table)])
    return target.write_shard(name, *shard_tables(rows, kept))


if __name__ == "__main__":
    main(__doc__, [prepare])
