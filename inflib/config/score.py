"""Configuration of scoring and of the report."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen

Curvature = Literal[
    "gauss_newton", "empirical_fisher", "datainf", "datainf_layer", "identity"
]
"""Curvatures, see inflib.numerics.curvature."""

QueryLoss = Literal["bradley_terry", "margin"]
"""What is explained of a query label: its loss, or -margin."""

ITERATIVE: tuple[Curvature, ...] = ("gauss_newton", "empirical_fisher")
"""Those that are solved by conjugate gradients, for a sweep of dampings."""


class ScoreConfig(Frozen):
    """Stage 4: sketches to influence scores."""

    curvatures: tuple[Curvature, ...] = ("gauss_newton", "datainf", "identity")
    """Inverse-Hessian approximations, the first being the one reported. identity is
    the plain gradient dot product; datainf_layer needs sketch.by_layer."""

    query_loss: QueryLoss = "bradley_terry"
    """Loss of the query labels. margin: -margin, by which all of them weigh the same,
    where the other's gradient is mostly that of the few that the model gets wrong. For
    query sets of less than some hundred labels."""

    damping: tuple[PositiveFloat, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Sweep of lambda for gauss_newton and empirical_fisher, relative to the trace of
    the undamped matrix. Each query set takes the smallest that is reliable."""

    reliability: float = Field(default=0.7, ge=-1, le=1)
    """Rank correlation of the scores by two halves of a query set that a damping must
    reach; where none does, the largest is taken."""

    keep_sweep: bool = False
    """Writes columns for every damping, named like gauss_newton_0.01_<query set>."""

    datainf_damping: PositiveFloat = 0.1
    """DataInf's lambda, relative to the mean squared gradient entry: lambda =
    damping * mean |g|^2 / D, D the number of trainable parameters."""

    query_groups: PositiveInt = 10
    """Groups of each query set that its sampling error is read from (jackknife). 1: no
    such error, and only one damping."""

    tolerance: PositiveFloat = 1e-3
    """Residual at which conjugate gradients stop, relative to the query vector."""

    self_probes: NonNegativeInt = 0
    """Random probes that each label's influence on its own loss is estimated with, for
    gauss_newton and empirical_fisher; relative error sqrt(2 / probes). 0: not computed;
    64 are enough for a ranking."""

    max_steps: PositiveInt = 200
    """Steps of conjugate gradients (each is a pass over the sketches) at most."""

    shards_per_task: PositiveInt = 4
    """Shards per reduction task. Changes rounding only."""

    @property
    def reported(self) -> Curvature:
        """The curvature whose scores are reported: the first one."""
        return self.curvatures[0]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of scores; each query set has one of every name."""
        found: list[str] = []
        for kind in self.curvatures:
            found.append(kind)
            if kind in ITERATIVE and self.keep_sweep:
                found += self.swept(kind)
        return found

    def swept(self, kind: Curvature) -> list[str]:
        """Names of the columns of a curvature at each damping, ascending."""
        return [f"{kind}_{damping:g}" for damping in sorted(self.damping)]

    @field_validator("damping", mode="before")
    @classmethod
    def _single(cls, damping: Any) -> Any:
        return (damping,) if isinstance(damping, int | float) else damping

    @field_validator("curvatures", "damping")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) != len(values):
            raise ValueError("must be a non-empty list without repeats")
        return values

    @model_validator(mode="after")
    def _can_choose(self) -> "ScoreConfig":
        if self.query_groups == 1 and len(self.damping) > 1:
            raise ValueError(
                "query_groups 1 leaves nothing to choose a damping by: name one"
            )
        return self


class ExplainConfig(Frozen):
    """What drives single query labels (`ray_jobs.explain`)."""

    query: str | None = None
    """Query set of the labels; default: the first one."""

    pairs: tuple[str, ...] = ()
    """pair_ids of query labels, or @FILE with one a line; default: all of the set."""

    train_pairs: tuple[str, ...] = ()
    """pair_ids of training labels (or @FILE) whose influence on every one of the query
    labels is given, be it large or small."""

    top: PositiveInt = 5
    """Training labels of each kind for each query label: most harmful, most helpful,
    nearest."""


class VerifyConfig(Frozen):
    """Retraining that checks the scores (`ray_jobs.verify`)."""

    query: str | None = None
    """Query set whose scores choose the labels; default: the first one."""

    share: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the labels that is dropped or flipped: the most harmful ones."""

    seeds: PositiveInt = 3
    """Trainings of each kind, with seeds train.seed, train.seed + 1, ..."""

    groups: NonNegativeInt = 8
    """Groups of labels, from least to most harmful, dropped one at a time."""

    subsets: NonNegativeInt = 16
    """Random halves of the labels, dropped one at a time."""

    at_once: PositiveInt = 1
    """Worker groups that share the trainings."""


class ReportConfig(Frozen):
    """Stage 5: terminal summary and summary.json."""

    top: PositiveInt = 10
    """Most harmful labels shown."""

    fdr: float = Field(default=0.1, gt=0, lt=1)
    """False discovery rate at which a score is said to differ from zero
    (Benjamini-Hochberg over all labels)."""

    groups: tuple[str, ...] = ("labeler", "source")
    """Kept columns whose groups of labels are compared, the labeler's first; those
    that the data lacks are ignored."""

    time: str | None = None
    """Kept column with the time of each label (numbers or text that sorts): ten equal
    shares of the labels are compared, too."""

    position: str | None = None
    """Kept column, true where the chosen response was shown first."""

    truth: str | None = None
    """Kept boolean column: true where the label is known to be wrong. Adds detection
    figures (AUC) to the summary."""
