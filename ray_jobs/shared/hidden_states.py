"""Comparisons to hidden states of both responses, in activations/ of a run.

For what influence is compared with: detectors of wrong labels, and baselines that need
no gradients. Takes one more forward pass over all data.
"""

from collections.abc import Iterator
from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.sketches import activations
from inflib.sketches.activations import ActivationReader, record_name
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage


def write_activations(recipe: Recipe, adapted: bool = True) -> dict[str, Any]:
    """Write activations/ of a run, computing only the shards that are not there.

    adapted: of the reward model; False: of its base. Returns the stage's record.
    """
    run = Folder(recipe.run)
    stage = Stage("activations", run / "activations")
    key = activations.key(recipe, adapted)
    plans = {
        pairs: PairsFolder(run / "pairs" / pairs).plan()
        for pairs in recipe.prepare.sources
    }
    todo = []
    for pairs, shards in plans.items():
        complete = (stage.folder / pairs).names()
        missing = [s for s in shards if record_name(s, key) not in complete]
        todo += [{"pairs": pairs, "shard": shard.name} for shard in missing]
    if not todo and stage.folder.exists("done.json"):
        return stage.skip()
    progress = Progress("activations", len(todo), "shards")
    for _ in _compute(recipe, todo, adapted):
        progress.advance(1)
    progress.close()
    first = stage.folder / "train"
    layers = first.read_json(record_name(plans["train"][0], key))["layers"]
    return stage.done({"shards": len(todo), "layers": layers})


def _compute(
    recipe: Recipe, todo: list[dict[str, str]], adapted: bool
) -> Iterator[int]:
    """Write the activations of shards {pairs, shard}; yields each one's layer count."""
    if not todo:
        return
    start_ray(recipe)
    observe("activations")
    config = recipe.sketch
    rows = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
        ActivationActor,
        fn_constructor_args=(recipe, adapted),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(todo))),
        num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker or None,
    )
    for row in rows.iter_rows():
        yield int(row["layers"])


class ActivationActor:
    """One worker of the pool: a shard's name in, its layer count out."""

    def __init__(self, recipe: Recipe, adapted: bool) -> None:
        observe("activations")
        threads = recipe.sketch.cpus_per_worker
        self.reader = ActivationReader(recipe, threads, adapted)
        run = Folder(recipe.run)
        self.plans = {
            pairs: {s.name: s for s in PairsFolder(run / "pairs" / pairs).plan()}
            for pairs in recipe.prepare.sources
        }

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        pairs, shard = str(batch["pairs"][0]), str(batch["shard"][0])
        with watched(f"activations of {pairs}/{shard}"):
            return {"layers": [self.reader(pairs, self.plans[pairs][shard])]}
