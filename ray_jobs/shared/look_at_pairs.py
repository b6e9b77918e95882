"""The looks at all shards of pairs/ as Ray tasks, and what they find, for prepare.

What was found is joined in a task, too: the driver's memory does not grow with it.
"""

from itertools import chain
from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.data import preflight
from inflib.data.min_hashes import common_shingles
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe, watched


def look_at_pairs(recipe: Recipe, folder: Folder) -> dict[str, dict[str, Any]]:
    """{pair set: facts for its data report}; writes near_duplicates.parquet.

    folder: pairs/ of the run.
    """
    sets = {name: PairsFolder(folder / name) for name in recipe.prepare.sources}
    plans = {name: pairs.plan() for name, pairs in sets.items()}
    ignored = ray.put(ray.get(_common.remote(sets["train"], plans["train"][0])))
    columns = list(recipe.report.groups)
    tasks = {
        name: [_look.remote(sets[name], shard, ignored, columns) for shard in plan]
        for name, plan in plans.items()
    }
    joined = {name: _join.remote(*looks) for name, looks in tasks.items()}
    progress = Progress("prepare", sum(map(len, plans.values())), "shards looked at")
    for task in chain.from_iterable(tasks.values()):
        ray.wait([task], fetch_local=False)
        progress.advance(1)
    progress.close()
    names, found = [*joined], [*joined.values()]
    least = recipe.report.min_labels
    return ray.get(_preflight.remote(folder, least, names, *found))


@ray.remote
def _common(pairs: PairsFolder, shard: Shard) -> frozenset[bytes]:
    """Shingles that many prompts of a shard have."""
    observe("prepare")
    return common_shingles(
        set(pairs.comparisons(shard, ["prompt"])["prompt"].to_pylist())
    )


@ray.remote
def _join(*found: preflight.Looked) -> preflight.Looked:
    return preflight.joined([*found])


@ray.remote
def _preflight(
    folder: Folder, min_labels: int, names: list[str], *found: preflight.Looked
) -> dict[str, dict[str, Any]]:
    observe("prepare")
    looked = dict(zip(names, found, strict=True))
    facts, near = preflight.preflight(looked, min_labels)
    folder.write_table("near_duplicates.parquet", near)
    return facts


@ray.remote
def _look(
    pairs: PairsFolder, shard: Shard, ignored: frozenset[bytes], columns: list[str]
) -> preflight.Looked:
    observe("prepare")
    with watched(f"looking at {pairs.folder.url} shard {shard.name}"):
        return preflight.look(pairs, shard, ignored, columns)
