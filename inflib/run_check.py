"""Is a run whole? Every digest, count and manifest, and what should not be there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.model.adapter import read_adapter
from inflib.model.reward_folder import adapter_folder
from inflib.scores.influence_folder import InfluenceFolder, score_inputs
from inflib.sketches import store
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder

_AT_ONCE = 4  # payloads in memory


def check(recipe: Recipe) -> list[str]:
    """What is wrong with the recipe's run, one line each; empty when it is whole."""
    run = Folder(recipe.run)
    problems = [f"{name}: half-written, safe to delete" for name in run.half_written()]
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
            for found in pool.map(
                lambda shard, pairs=pairs: _check_shard(recipe, pairs, shard), plan
            ):
                problems += found
            problems += _unexpected(run, pairs, plan)
    if read_adapter(adapter_folder(recipe)).sha256 != Manifest(run).adapter_sha256:
        problems.append("sketches/: adapter_sha256 is of another adapter")
    # Without whole pairs and sketches nothing can be said of scores.
    return problems or [*_check_scores(run, recipe)]


def _check_shard(recipe: Recipe, pairs: str, shard: Shard) -> list[str]:
    """Pairs, record and payload of one shard."""
    run = Folder(recipe.run)
    folder, sketches = PairsFolder(run / "pairs" / pairs), run / "sketches" / pairs
    try:
        num_comparisons = len(folder.comparisons(shard, ["comparison_id"]))
        num_labels = len(folder.labels(shard, ["row"]))
        record = store.read_record(sketches, shard.name)
        store.check_plan(sketches, shard, record)
        payload, _ = store.read_payload(sketches, shard.name, thorough=True)
    except FileNotFoundError as error:
        return [f"missing: {error}"]
    except ValueError as error:
        return [str(error)]
    config = recipe.sketch
    expected = (num_comparisons, config.sketch_size, config.store_dtype)
    found = {
        f"pairs/{pairs}/{shard.comparisons_file}: rows": (
            num_comparisons,
            shard.num_comparisons,
        ),
        f"pairs/{pairs}/{shard.labels_file}: rows": (num_labels, shard.num_labels),
        f"sketches/{pairs}/{shard.name}.json: rows": (
            len(record["margin"]),
            num_comparisons,
        ),
        f"sketches/{pairs}/{store.payload_name(shard.name, record)}: shape": (
            (*payload.shape, str(payload.dtype)),
            expected,
        ),
    }
    return [f"{what} {is_}, not {be}" for what, (is_, be) in found.items() if is_ != be]


def _unexpected(run: Folder, pairs: str, plan: list[Shard]) -> Iterator[str]:
    sketches = run / "sketches" / pairs
    for name in PairsFolder(run / "pairs" / pairs).unplanned(plan):
        yield f"pairs/{pairs}/{name}: not in the plan"
    records = {f"{shard.name}.json" for shard in plan}
    found = {name for name in sketches.names() if name.endswith(".json")}
    for name in sorted(found - records):
        yield f"sketches/{pairs}/{name}: not in the plan"
    for name in store.leftovers(sketches):
        yield f"sketches/{pairs}/{name}: no commit record names it"


def _check_scores(run: Folder, recipe: Recipe) -> Iterator[str]:
    """Index, scores and report, given that pairs and sketches are whole."""
    plan = PairsFolder(run / "pairs" / "train").plan()
    for pairs in recipe.prepare.sources:
        names = [s.name for s in PairsFolder(run / "pairs" / pairs).plan()]
        index = store.build_index(run / "sketches" / pairs, names)
        if index != (run / "sketches" / pairs).read_bytes("index.parquet"):
            yield f"sketches/{pairs}/index.parquet: not what the records say"
    scores = InfluenceFolder.of(run)
    num_labels = sum(shard.num_labels for shard in plan)
    yield from scores.problems(score_inputs(run, recipe), num_labels)
    if (run / "report").read_json("done.json").get("scores") != scores.record.inputs:
        yield "report/: of other scores; rerun `inflib report`"
