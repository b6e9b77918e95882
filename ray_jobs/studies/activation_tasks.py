"""Hidden states of labels, after every layer, to detectors' scores."""

from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.detection.detectors import distances, features, swapped_auc
from inflib.sketches import activations
from inflib.storage.folder import Folder
from ray_jobs.shared.hidden_states import write_activations
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import start_ray


def layer_detectors(recipe: Recipe) -> list[dict[str, Any]]:
    """Mahalanobis and nearest-neighbour distances of all N training labels, by
    activations/, which is written where it is not there.

    One row for each layer and query set, in the order of layers: {layer: from 1, query,
    scores: {detector: [N]}, swapped_auc: {detector: AUC}}. swapped_auc says how well a
    detector tells query labels from the same labels turned round.
    """
    layers = write_activations(recipe)["layers"]
    start_ray(recipe)
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
