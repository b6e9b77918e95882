"""Configuration of labeling-strategy oversight (`ray_jobs.oversight`)."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from inflib.config.base import Frozen

Method = Literal[
    "influence", "least_squares", "mahalanobis", "knn", "random", "upper_bound"
]
"""New weights from which labels agree with the expert, by: influence, distance from the
expert's labels, chance, the truth. least_squares: from how large influence is."""


class SimulationConfig(Frozen):
    """An expert and labelers who weigh known sub-objective scores, each in their own
    way; every set of prepare is then a file of rated responses."""

    expert: tuple[float, ...]
    """Weights of the objectives by which the query sets are labelled."""

    labelers: tuple[tuple[float, ...], ...] = ()
    """Weights of each labeler, who labels all training pairs; none: drawn."""

    draw: PositiveInt = 5
    """Labelers drawn, if none are named: weights uniform in [0, 6]."""

    agreement: tuple[float, float] = (0.7, 0.8)
    """Share of the training pairs on which a drawn labeler agrees with the expert."""

    pairs_per_prompt: PositiveInt = 1
    """Pairs of responses to one prompt, drawn at random."""

    test: str | None = None
    """Query set on which reward models are compared; default: the last one."""

    retrain: tuple[Method, ...] = (
        "influence",
        "mahalanobis",
        "knn",
        "random",
        "upper_bound",
    )
    """Methods whose updated labels a reward model is trained with."""

    rounds: PositiveInt = 1
    """Updates by influence, one after the other: label anew, retrain, repeat."""

    shares: tuple[float, ...] = (0.25, 0.1, 0.05)
    """Updates from the most and least influential labels alone, so many of each."""

    sizes: tuple[PositiveInt, ...] = (10, 20, 50, 100, 200)
    """Query labels drawn at random for the ablation of the query set's size."""

    repeats: PositiveInt = 20
    """Draws of each size."""

    seed: NonNegativeInt = 0
    """Of pairs, drawn labelers and random splits."""

    @model_validator(mode="after")
    def _same_lengths(self) -> "SimulationConfig":
        for weights in self.labelers:
            if len(weights) != len(self.expert):
                raise ValueError(
                    f"labelers: {len(weights)} weights, the expert has "
                    f"{len(self.expert)}"
                )
        if any(not 0 < share <= 0.5 for share in self.shares):
            raise ValueError("shares must be above 0 and at most 0.5")
        return self


class OversightConfig(Frozen):
    """In what a labeler differs from the expert, and which decisions show it."""

    objectives: tuple[str, ...] = Field(min_length=1)
    """Names of the sub-objective scores. Labels need the kept columns
    <name>_chosen and <name>_rejected (a simulation makes them)."""

    query: str | None = None
    """Query set of the expert; default: the first one."""

    labeler: str = "labeler"
    """Kept column that names who labelled."""

    resamples: PositiveInt = 200
    """Bootstrap resamples of a labeler's labels, for 95% intervals."""

    examples: NonNegativeInt = 10
    """Decisions to look at again, for each labeler."""

    seed: NonNegativeInt = 0
    """Of resamples."""

    simulate: SimulationConfig | None = None
    """Simulates the labels; without it, those of the run are looked at."""

    @model_validator(mode="after")
    def _one_weight_each(self) -> "OversightConfig":
        simulated = self.simulate
        if simulated is not None and len(simulated.expert) != len(self.objectives):
            raise ValueError(
                f"simulate.expert: {len(simulated.expert)} weights for "
                f"{len(self.objectives)} objectives"
            )
        return self
