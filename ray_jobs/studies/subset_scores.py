"""Influence on random subsets of a query set, for ablations of its size."""

from typing import Any

import numpy as np
import ray

from inflib.config.recipe import Recipe
from inflib.detection.query_sizes import Subsets, draw_subsets
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import RayTasks
from ray_jobs.shared.session import start_ray


def subset_scores(
    recipe: Recipe, query: str, sizes: tuple[int, ...], repeats: int, seed: int
) -> tuple[list[int], np.ndarray]:
    """(query labels in each subset, influence [n, subsets] of the n labels that count).

    Scored by the reported curvature, at the damping that the whole set was scored with.
    sizes: query labels of the subsets, of which `repeats` are drawn each; the last
    subset is the whole set. Takes one pass over the sketches, and one per step of
    conjugate gradients, for all subsets together.
    """
    start_ray(recipe)
    run, kind = Folder(recipe.run), recipe.score.reported
    passes = Passes(run, recipe.score.shards_per_task, executor=RayTasks())
    solver = Solver(recipe.score, read_layers(run), passes)
    sketches, loss = SketchSet(run, query), recipe.score.query_loss
    drawn = _draw.remote(sketches, loss, sizes, repeats, seed)
    subsets: Subsets = ray.get(drawn)
    damping = InfluenceFolder.of(run).damping(kind, query)
    ihvps = solver.invert(kind, subsets.vectors, damping)
    return subsets.sizes, passes.alignments(ihvps).numpy()


@ray.remote
def _draw(*arguments: Any) -> Subsets:
    """draw_subsets as a task, which reads the query set's sketches."""
    observe("query sizes")
    return draw_subsets(*arguments)
