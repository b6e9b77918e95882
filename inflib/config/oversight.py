"""Configuration of bringing labelers closer to an expert (`inflib oversight`)."""

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
"""How a labeler's weights are updated. All but one decide which labels the expert would
agree with, and separate these from the others: by influence; by distance from the
expert's labels (mahalanobis, knn); by chance; by the truth (upper_bound). least_squares
fits the influence scores themselves."""


class SimulationConfig(Frozen):
    """An expert and labelers who label by the objectives' scores, each with weights of
    their own. Every pair set of `prepare` is then a file of rated responses."""

    expert: tuple[float, ...]
    """Weight of each objective for the expert, who labels the query sets."""

    labelers: tuple[tuple[float, ...], ...] = ()
    """Weights of the objectives for each labeler, such as [[1, 2], [3, 0]]; every one
    labels all training pairs. none: labelers are drawn."""

    draw: PositiveInt = 5
    """Number of labelers to draw, if none are named, with weights uniform in [0, 6]."""

    agreement: tuple[float, float] = (0.7, 0.8)
    """Range for drawn labelers: on what share of the training pairs they agree with the
    expert, at least and at most."""

    pairs_per_prompt: PositiveInt = 1
    """Maximum number of pairs of responses made for a prompt, drawn at random."""

    test: str | None = None
    """Query set on which reward models are compared; default: the last one."""

    retrain: tuple[Method, ...] = (
        "influence",
        "mahalanobis",
        "knn",
        "random",
        "upper_bound",
    )
    """Methods to train a reward model for, with the labels that the labeler would give
    after an update by that method."""

    rounds: PositiveInt = 1
    """Updates by influence, one after the other: new weights, new labels, a new reward
    model, new scores."""

    shares: tuple[float, ...] = (0.25, 0.1, 0.05)
    """Ablation: updates from the most and the least influential labels only, this share
    of the labels at either end."""

    sizes: tuple[PositiveInt, ...] = (10, 20, 50, 100, 200)
    """Ablation of the query set's size: numbers of query labels to draw at random."""

    repeats: PositiveInt = 20
    """Random draws of each of these sizes."""

    seed: NonNegativeInt = 0
    """Seed of the pairs, of drawn labelers, of query labels, and of the method
    random."""

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
    """What labelers weigh otherwise than the expert, and which decisions show it."""

    objectives: tuple[str, ...] = Field(min_length=1)
    """Names of the objectives that responses are scored on, such as correctness.
    Training labels need the columns <name>_chosen and <name>_rejected with these scores
    (a simulation makes them)."""

    query: str | None = None
    """Query set that the expert labelled; default: the first one."""

    labeler: str = "labeler"
    """Column of the data that says who labelled."""

    resamples: PositiveInt = 200
    """Bootstrap resamples of a labeler's labels, for 95% intervals of the weights."""

    examples: NonNegativeInt = 10
    """Decisions to look at again that are listed for each labeler."""

    seed: NonNegativeInt = 0
    """Seed of the resamples."""

    simulate: SimulationConfig | None = None
    """Simulate an expert and labelers with known weights. null: the run's own labels
    are looked at."""

    @model_validator(mode="after")
    def _one_weight_each(self) -> "OversightConfig":
        simulated = self.simulate
        if simulated is not None and len(simulated.expert) != len(self.objectives):
            raise ValueError(
                f"simulate.expert: {len(simulated.expert)} weights for "
                f"{len(self.objectives)} objectives"
            )
        return self
