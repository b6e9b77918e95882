"""Comparisons to hidden states of both responses, and these to detectors' scores.

Written to activations/ of a run, for the detectors of wrong labels that influence is
compared with. Takes one more forward pass over all data.
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
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage


def write_activations(recipe: Recipe) -> dict[str, Any]:
    """Write activations/ of a run, computing only the shards that are not there.

    Returns the stage's record.
    """
    run = Folder(recipe.run)
    stage = Stage("activations", run / "activations")
    key = activations.key(recipe)
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
    for _ in _compute(recipe, todo):
        progress.advance(1)
    progress.close()
    first = stage.folder / "train"
    layers = first.read_json(record_name(plans["train"][0], key))["layers"]
    return stage.done({"shards": len(todo), "layers": layers})


def layer_detectors(recipe: Recipe) -> list[dict[str, Any]]:
    """Mahalanobis and nearest-neighbour distances of all N training labels.

    One row for each layer and query set, in the order of layers: {layer: from 1, query,
    scores: {detector: [N]}, swapped_auc: {detector: AUC}}. swapped_auc says how well a
    detector tells query labels from the same labels turned round.
    """
    start_ray(recipe)
    layers = (Folder(recipe.run) / "activations").read_json("done.json")["layers"]
    tasks = [_score_layer.remote(recipe, layer) for layer in range(layers)]
    return [row for task in tasks for row in ray.get(task)]


@ray.remote
def _score_layer(recipe: Recipe, layer: int) -> list[dict[str, Any]]:
    """Rows of layer_detectors for one layer, which is counted from 0 here."""
    observe("activations")
    run, key = Folder(recipe.run), activations.key(recipe)
    neighbours = recipe.bias.neighbours
    train = features(*activations.read_layer(run, "train", key, layer))
    rows = []
    for query in recipe.prepare.queries:
        trusted = features(*activations.read_layer(run, query, key, layer))
        row: dict[str, Any] = {"layer": layer + 1, "query": query}
        row["swapped_auc"] = swapped_auc(trusted, neighbours)
        rows.append(row | {"scores": distances(trusted, train, neighbours)})
    return rows


def _compute(recipe: Recipe, todo: list[dict[str, str]]) -> Iterator[int]:
    """Write the activations of shards {pairs, shard}; yields each one's layer count."""
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
    """One worker of the pool: a shard's name in, its layer count out."""

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
