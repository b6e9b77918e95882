"""Hidden states of every response, and detectors on them: one more pass over the model.

Written to activations/ of a run, for detectors that influence is compared with.
"""

from collections.abc import Iterator
from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.detection import activations
from inflib.detection.activations import ActivationReader, record_name
from inflib.detection.detectors import distances, features, swapped_auc
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.session import Stage, start_ray


def write_activations(recipe: Recipe) -> dict[str, Any]:
    """Write activations/ of a run; only shards that are not there are computed."""
    run = Folder(recipe.run)
    stage = Stage("activations", run / "activations")
    key = activations.key(recipe)
    plans = {
        pairs: PairsFolder(run / "pairs" / pairs).plan()
        for pairs in recipe.prepare.sources
    }
    todo = []
    for pairs, shards in plans.items():
        there = (stage.folder / pairs).names()
        missing = [s for s in shards if record_name(s, key) not in there]
        todo += [{"pairs": pairs, "shard": shard.name} for shard in missing]
    if not todo and stage.folder.exists("done.json"):
        return stage.skip()
    progress = Progress("activations", len(todo), "shards")
    for _ in _compute(recipe, todo):
        progress.advance(1)
    progress.close()
    first = stage.folder / "train"
    layers = first.read_json(record_name(plans["train"][0], key))["layers"]
    return stage.done({"shards": len(todo), "layers": layers})


def layer_detectors(recipe: Recipe) -> list[dict[str, Any]]:
    """Mahalanobis distance and nearest neighbours of all training labels, by layer and
    query set, in the order of layers: {layer, query, swapped_auc, scores}."""
    start_ray(recipe)
    layers = (Folder(recipe.run) / "activations").read_json("done.json")["layers"]
    tasks = [_of_layer.remote(recipe, layer) for layer in range(layers)]
    return [row for task in tasks for row in ray.get(task)]


@ray.remote
def _of_layer(recipe: Recipe, layer: int) -> list[dict[str, Any]]:
    """swapped_auc: {detector: AUC}; scores: {detector: [n]}."""
    observe("activations")
    run, key = Folder(recipe.run), activations.key(recipe)
    k = recipe.bias.neighbours
    train = features(*activations.read_layer(run, "train", key, layer))
    found = []
    for query in recipe.prepare.queries:
        trusted = features(*activations.read_layer(run, query, key, layer))
        row: dict[str, Any] = {"layer": layer + 1, "query": query}
        row["swapped_auc"] = swapped_auc(trusted, k)
        found.append(row | {"scores": distances(trusted, train, k)})
    return found


def _compute(recipe: Recipe, todo: list[dict[str, str]]) -> Iterator[int]:
    if not todo:
        return
    start_ray(recipe)
    observe("activations")
    config = recipe.sketch
    rows = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
        ActivationActor,
        fn_constructor_args=(recipe,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(todo))),
        num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker or None,
    )
    for row in rows.iter_rows():
        yield int(row["layers"])


class ActivationActor:
    """One worker of the pool: a shard's name in, its number of layers out."""

    def __init__(self, recipe: Recipe) -> None:
        observe("activations")
        self.reader = ActivationReader(recipe, recipe.sketch.cpus_per_worker)
        run = Folder(recipe.run)
        self.plans = {
            pairs: {s.name: s for s in PairsFolder(run / "pairs" / pairs).plan()}
            for pairs in recipe.prepare.sources
        }

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        pairs, shard = str(batch["pairs"][0]), str(batch["shard"][0])
        with watched(f"activations of {pairs}/{shard}"):
            return {"layers": [self.reader(pairs, self.plans[pairs][shard])]}
