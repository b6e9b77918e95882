"""A run to what is wrong with it: digests, counts, manifests, files left over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.model.adapter import read_adapter
from inflib.model.reward_folder import sketched_folder
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.sketches import store
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder
from inflib.storage.plain_text import first_line

_FOLDERS = ("pairs", "reward_model", "sketches", "influence", "report")
_AT_ONCE = 4
"""Shards checked at the same time, whose payloads are in memory."""


def check(recipe: Recipe) -> list[str]:
    """What is wrong with the recipe's run, a line each; none when it is whole.

    Scores and report are looked at only when pairs and sketches are whole.
    """
    run = Folder(recipe.run)
    problems = [f"{name}: half-written, safe to delete" for name in run.half_written()]
    unreadable = _unreadable(run)
    problems += unreadable.values()
    try:
        found = _check_stages(recipe, run)
    except (ValueError, OSError) as error:  # a file that is missing, or damaged
        found = [str(error)]
    return problems + [
        line for line in found if not any(name in line for name in unreadable)
    ]


def _unreadable(run: Folder) -> dict[str, str]:
    """JSON and Parquet files of the stages that are not what their names say, and
    what is wrong with each."""
    names = sorted(name for name in run.tree() if name.split("/")[0] in _FOLDERS)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lines = dict(zip(names, pool.map(partial(_read, run), names), strict=True))
    return {name: line for name, line in lines.items() if line}


def _read(run: Folder, name: str) -> str:
    """What is wrong with one file, by its format; empty where nothing is."""
    try:
        if name.endswith(".json"):
            run.read_json(name)
        elif name.endswith(".parquet"):
            pq.read_metadata(pa.BufferReader(run.read_bytes(name)))
    except (ValueError, OSError) as error:
        said = first_line(error)
        return said if name in said else f"{name}: {said}"
    return ""


def _check_stages(recipe: Recipe, run: Folder) -> list[str]:
    """What is wrong beside files that cannot be read."""
    problems: list[str] = []
    stages = ["pairs", "sketches", "influence", "report"]
    if recipe.model.adapter is None:
        stages.insert(1, "reward_model")
    for name in stages:
        if not run.exists(f"{name}/done.json"):
            return [*problems, f"{name}/: not complete; rerun the audit to go on"]
    plans = {
        pairs: PairsFolder(run / "pairs" / pairs).plan()
        for pairs in recipe.prepare.sources
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pairs, plan in plans.items():
            for shard_problems in pool.map(
                lambda shard, pairs=pairs: _check_shard(recipe, pairs, shard), plan
            ):
                problems += shard_problems
            problems += _unexpected(run, pairs, plan)
    adapter = read_adapter(sketched_folder(recipe), recipe.model.task)
    if adapter.sha256 != Manifest(run).adapter_sha256:
        problems.append("sketches/: adapter_sha256 is of another adapter")
    # Scores of damaged pairs or sketches cannot be checked.
    return problems or [*_check_scores(run, recipe)]


def _check_shard(recipe: Recipe, pairs: str, shard: Shard) -> list[str]:
    """What is wrong with one shard's pairs, commit record and payload."""
    run = Folder(recipe.run)
    folder, sketches = PairsFolder(run / "pairs" / pairs), run / "sketches" / pairs
    try:
        num_comparisons = len(folder.comparisons(shard, ["comparison_id"]))
        num_labels = len(folder.labels(shard, ["row"]))
        record = store.read_record(sketches, shard.name)
        store.check_plan(sketches, shard, record)
        digests = store.Digests.of(record)
        payload = store.read_payload(sketches, shard.name, digests, thorough=True)
    except FileNotFoundError as error:
        return [f"missing: {error}"]
    except (ValueError, OSError) as error:
        return [str(error)]
    config = recipe.sketch
    shape = (num_comparisons, config.sketch_size, config.store_dtype)
    actual_and_expected = {
        f"pairs/{pairs}/{shard.comparisons_file}: rows": (
            num_comparisons,
            shard.num_comparisons,
        ),
        f"pairs/{pairs}/{shard.labels_file}: rows": (num_labels, shard.num_labels),
        f"sketches/{pairs}/{shard.name}.json: rows": (
            len(record["margin"]),
            num_comparisons,
        ),
        f"sketches/{pairs}/{store.payload_name(shard.name, digests)}: shape": (
            (*payload.shape, str(payload.dtype)),
            shape,
        ),
    }
    return [
        f"{what} {actual}, not {expected}"
        for what, (actual, expected) in actual_and_expected.items()
        if actual != expected
    ]


def _unexpected(run: Folder, pairs: str, plan: list[Shard]) -> Iterator[str]:
    """Files of a pair set's folders that do not belong to its plan."""
    sketches = run / "sketches" / pairs
    for name in PairsFolder(run / "pairs" / pairs).unplanned(plan):
        yield f"pairs/{pairs}/{name}: not in the plan"
    records = {f"{shard.name}.json" for shard in plan}
    json_files = {name for name in sketches.names() if name.endswith(".json")}
    for name in sorted(json_files - records):
        yield f"sketches/{pairs}/{name}: not in the plan"
    for name in store.leftovers(sketches):
        yield f"sketches/{pairs}/{name}: no commit record names it"


def _check_scores(run: Folder, recipe: Recipe) -> Iterator[str]:
    """What is wrong with sketch indexes, scores and report of a run whose pairs and
    sketches are whole."""
    plan = PairsFolder(run / "pairs" / "train").plan()
    for pairs in recipe.prepare.sources:
        names = [shard.name for shard in PairsFolder(run / "pairs" / pairs).plan()]
        index = store.build_index(run / "sketches" / pairs, names)
        if index != (run / "sketches" / pairs).read_bytes("index.parquet"):
            yield f"sketches/{pairs}/index.parquet: not what the records say"
    scores = InfluenceFolder.of(run)
    num_labels = sum(shard.num_labels for shard in plan)
    yield from scores.problems(score_inputs(run, recipe), num_labels)
    if (run / "report").read_json("done.json").get("scores") != scores.record.inputs:
        yield "report/: of other scores; rerun `inflib report`"
    for name in ("index.html", "data/facts.js", "data/columns.js"):
        if not run.exists(f"report/{name}"):
            yield f"report/{name}: missing; rerun `inflib report`"
