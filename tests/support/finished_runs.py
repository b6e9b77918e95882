"""Recipes of the runs that tests of ray_jobs look at once they are finished."""

from pathlib import Path
from typing import Any

from inflib.config.recipe import Recipe
from tests.support.audits import tiny_recipe

OBJECTIVES = ["correctness", "coherence", "complexity", "verbosity"]
EXPERT, LABELER = [1.04, 0.46, 0.47, -0.33], [1.1, 1.0, 3.1, 3.0]


def study(run: Path, llama: str, adapter: str) -> Recipe:
    """A bias study with a reward model that is there, which saves a training."""
    source = "generated:flattery{}?pairs={}&seed={}"

    def flattery(pairs: int, seed: int, **more: Any) -> dict[str, Any]:
        ratings = source.format("_ratings", pairs, seed)
        return {"path": source.format("", pairs, seed), "ratings": ratings} | more

    planted = {"kind": "higher_rated_chosen", "share": 1.0, "max_difference": 3.5}
    return tiny_recipe(
        run,
        "unused",
        llama,
        prepare__train=flattery(60, 0, plant=planted),
        prepare__queries={
            "less": flattery(40, 9, select="chosen_lower_rated"),
            "full": flattery(40, 9),
        },
        prepare__max_length=256,
        model__adapter=adapter,
        sketch__sketch_size=2048,
        prepare__shard_rows=25,
        score__self_probes=8,
        score__damping=[1e-2, 1e-1],
        report__truth="planted_flip",
        bias__sizes=[5, 10],
        bias__repeats=2,
        bias__resamples=50,
        bias__examples=2,
        bias__neighbours=[1, 3],
    )


def simulation(run: Path, llama: str, **changes: Any) -> Recipe:
    """Oversight of one simulated labeler; changes: of oversight.simulate."""

    def rated(low: float, high: float) -> dict[str, Any]:
        return {"path": "generated:attributes?pairs=80&seed=0", "part": [low, high]}

    simulate = {
        "expert": EXPERT,
        "labelers": [LABELER],
        "retrain": [],  # takes a training: see the slow test
        "shares": [0.25],
        "sizes": [5],
        "repeats": 3,
    }
    return tiny_recipe(
        run,
        "unused",
        llama,
        prepare__train=rated(0, 0.5),
        prepare__queries={"expert": rated(0.5, 0.75), "test": rated(0.75, 1)},
        prepare__shard_rows=25,
        train__epochs=1,
        sketch__sketch_size=2048,
        score__curvatures=["gauss_newton"],
        score__damping=[1e-1],
        report__truth=None,
        bias__neighbours=[1, 3],
        oversight={
            "objectives": OBJECTIVES,
            "resamples": 20,
            "examples": 2,
            "simulate": simulate | changes,
        },
    )
