"""Stage 3 of 5: comparisons -> sketches of their margin gradients.

    inflib sketch --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.sketch --run s3://bucket/run

Takes every comparison of pairs/ through the reward model and writes sketches/, one file
of sketches for each shard. Rerun to resume: shards that are complete stay as they are.
"""

from collections.abc import Iterator
from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.model.model_check import check_model
from inflib.sketches import store
from inflib.sketches.binding import bind_sketches
from inflib.sketches.manifest import Manifest
from inflib.sketches.shard_sketcher import Receipt, ShardSketcher
from inflib.storage.folder import Folder
from inflib.telemetry import Progress, warning
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.sketch_group import sketch_in_group
from ray_jobs.shared.stage import Stage


def sketch(recipe: Recipe) -> dict[str, Any]:
    """Write sketches/ of a run: every shard of every pair set, then the indexes.

    Returns the stage's record.
    """
    run = Folder(recipe.run)
    stage = Stage("sketch", run / "sketches")
    plans = {
        pairs: PairsFolder(run / "pairs" / pairs).plan()
        for pairs in recipe.prepare.sources
    }
    check_model(recipe.model)
    bind_sketches(recipe)
    for pairs in plans:
        folder = stage.folder / pairs
        folder.delete(*store.leftovers(folder))
    todo = []
    for pairs, shards in plans.items():
        complete = store.completed(stage.folder / pairs, shards)
        todo += [(pairs, shard) for shard in shards if shard.name not in complete]
    if not todo and stage.folder.exists("done.json"):
        return stage.skip()
    if Manifest(run).in_training:
        warning(
            "the other labels of this run were sketched in the course of training; new "
            "ones are sketched by the finished model, and the scores of both are not "
            "quite comparable: for all by one model, choose a new --run"
        )
    num_shards = sum(map(len, plans.values()))
    print(f"sketch: {len(todo)} of {num_shards} shards to compute", flush=True)
    num_comparisons = sum(shard.num_comparisons for _, shard in todo)
    progress = Progress("sketch", num_comparisons, "pairs")
    receipts = []
    names = [(pairs, shard.name) for pairs, shard in todo]
    for receipt in compute_shards(recipe, names):
        receipts.append(receipt)
        progress.advance(receipt.num_pairs)
    progress.close()
    if len(receipts) != len(todo):
        raise RuntimeError(f"{len(todo)} shards asked for, {len(receipts)} came back")
    start_ray(recipe)
    indexes = [
        _write_index.remote(stage.folder / pairs, [shard.name for shard in shards])
        for pairs, shards in plans.items()
    ]
    ray.get(indexes)
    seconds = sum(receipt.seconds for receipt in receipts)
    num_pairs = sum(receipt.num_pairs for receipt in receipts)
    return stage.done(
        {
            "shards": len(todo),
            "pairs": num_pairs,
            "tokens": sum(receipt.num_tokens for receipt in receipts),
            "prompts_not_shared": sum(receipt.num_unshared for receipt in receipts),
            "unusable": sum(receipt.num_unusable for receipt in receipts),
            "pairs_per_worker_second": round(num_pairs / seconds, 2)
            if seconds
            else None,
        }
    )


def compute_shards(recipe: Recipe, todo: list[tuple[str, str]]) -> Iterator[Receipt]:
    """Sketch the shards `todo`, each (pair set, shard name), with a pool of workers.

    Yields a receipt for each shard, once its files are complete.
    """
    if not todo:
        return
    start_ray(recipe)
    observe("sketch")
    if recipe.model.sharded_over > 1:
        yield from sketch_in_group(recipe, todo)
        return
    config = recipe.sketch
    items = [{"pairs": pairs, "shard": shard} for pairs, shard in todo]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        SketchActor,
        fn_constructor_args=(recipe,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            size=min(config.workers, len(items)),
            # One shard is read or written while another one is computed.
            max_concurrent_calls_per_actor=2,
            enable_true_multi_threading=True,
        ),
        num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker or None,
    )
    for row in rows.iter_rows():
        yield Receipt(**row)


@ray.remote
def _write_index(folder: Folder, shards: list[str]) -> None:
    observe("sketch")
    store.write_index(folder, shards)


class SketchActor:
    """One worker of the pool: a shard's name in, its receipt out. Holds the model."""

    def __init__(self, recipe: Recipe) -> None:
        observe("sketch")
        self.sketcher = ShardSketcher(recipe)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        pairs, shard = str(batch["pairs"][0]), str(batch["shard"][0])
        with watched(f"shard {pairs}/{shard}"):
            receipt = self.sketcher(pairs, shard)
        return {name: [value] for name, value in vars(receipt).items()}


STAGES = [sketch]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("sketch")
