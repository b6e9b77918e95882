"""Influence on random parts of a query set, for ablations of its size."""

from typing import Any

import numpy as np
import ray

from inflib.config.recipe import Recipe
from inflib.config.score import ITERATIVE
from inflib.detection.query_sizes import Subsets, draw_subsets
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.score_tasks import StorePasses
from ray_jobs.shared.session import start_ray


def subset_scores(
    recipe: Recipe, query: str, sizes: tuple[int, ...], repeats: int, seed: int
) -> tuple[list[int], np.ndarray]:
    """(query labels in each part, influence [n, parts] of the labels that count), by
    the reported curvature at the damping that the whole set was scored with.

    One pass over the store, and one per step of conjugate gradients, for all parts.
    """
    start_ray(recipe)
    run, kind = Folder(recipe.run), recipe.score.curvatures[0]
    passes = StorePasses(run, recipe.score.group_shards)
    solver = Solver(recipe.score, read_layers(run), passes)
    asked = run, query, recipe.score.query_loss, sizes, repeats, seed
    subsets: Subsets = ray.get(_draw.remote(*asked))
    damping = None
    if kind in ITERATIVE:
        facts = (run / "influence").read_json("done.json")["curvatures"]
        damping = facts[kind]["queries"][query]["damping"]
    ihvps = solver.invert(kind, subsets.vectors, damping)
    return subsets.sizes, passes.alignments(ihvps).numpy()


@ray.remote
def _draw(*asked: Any) -> Subsets:
    observe("query sizes")
    return draw_subsets(*asked)
