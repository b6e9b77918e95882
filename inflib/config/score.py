"""Configuration of scoring, explaining, verifying and reporting."""

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
"""Approximations of the Hessian, whose formulas are in inflib.numerics.curvature."""

QueryLoss = Literal["bradley_terry", "margin"]
"""Loss of a query label that scores explain: Bradley-Terry, or the negative margin."""

ITERATIVE: tuple[Curvature, ...] = ("gauss_newton", "empirical_fisher")
"""Curvatures solved by conjugate gradients."""

SWEEP = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Dampings that are tried where nothing else says how much to damp."""


class ScoreConfig(Frozen):
    """Stage 4: sketches to influence scores."""

    curvatures: tuple[Curvature, ...] = ("gauss_newton", "datainf", "identity")
    """Approximations of the loss's Hessian H to score with, side by side; the first is
    the one reported. identity: no curvature, the plain gradient dot product.
    datainf_layer needs sketch.by_layer."""

    query_loss: QueryLoss = "bradley_terry"
    """Loss of the query labels that the scores explain. bradley_terry: its gradients
    vanish on pairs that the model is confident about, so a few wrong ones dominate the
    query vector. margin: -margin, all query labels weigh the same; use it below some
    300 query labels."""

    damping: tuple[PositiveFloat, ...] | None = None
    """Values of lambda in (H + lambda I)^-1 to try for gauss_newton and
    empirical_fisher, relative to the trace of H. Each query set is scored with the
    smallest that is reliable (score.reliability); a single value is always used. null:
    6 / (sum of the learning rates of training), where train.keep made a model to score
    by (docs/validity.md); else the smallest reliable one of 1e-4 to 1."""

    reliability: float = Field(default=0.7, ge=-1, le=1)
    """When a damping is reliable: the scores by two halves of the query set have at
    least this rank correlation. Where no damping is, the largest is taken. Lower it to
    damp less, at the price of noisier scores."""

    keep_sweep: bool = False
    """Write columns for every damping too, such as influence_gauss_newton_0.01_<query
    set>."""

    datainf_damping: PositiveFloat = 0.1
    """DataInf's lambda, relative to the mean squared gradient entry: lambda =
    datainf_damping * mean |g|^2 / D, with D the number of trainable parameters."""

    query_groups: PositiveInt = 10
    """Groups, by prompt, that each query set is cut into; their spread (jackknife) is
    the sampling error of the query set. 1: no such error, and a single damping only."""

    tolerance: PositiveFloat = 1e-3
    """Conjugate gradients stop at this residual, relative to the query vector. Smaller
    is more exact and takes more passes over the sketches."""

    self_probes: NonNegativeInt = 0
    """Random vectors that estimate each label's influence on its own loss, for
    gauss_newton and empirical_fisher, with relative error sqrt(2 / self_probes). 0: not
    estimated; 64 are enough for a ranking."""

    max_steps: PositiveInt = 200
    """Maximum number of steps of conjugate gradients, for each damping; each is a pass
    over the sketches. Raise it, or leave out small dampings, when scoring warns of the
    residual."""

    exact_terms: NonNegativeInt = 2048
    """Terms of H, the largest, that are inverted exactly, so that conjugate gradients
    take fewer steps; where there are no more labels, they take one. The driver holds
    their sketches: 134 MB for 2,048 of 65,536 entries in int8. 0: none."""

    shards_per_task: PositiveInt = 4
    """Shards that one scoring task reads. Changes rounding only."""

    @property
    def reported(self) -> Curvature:
        """The curvature whose scores are reported: the first one."""
        return self.curvatures[0]

    @property
    def score_names(self) -> list[str]:
        """What scores are made with: curvatures and, with keep_sweep, their dampings.

        Names of score columns are these with `_<query set>` after them.
        """
        names: list[str] = []
        for kind in self.curvatures:
            names.append(kind)
            if kind in ITERATIVE and self.keep_sweep:
                names += self.swept(kind)
        return names

    def swept(self, kind: Curvature) -> list[str]:
        """The names, as in `columns`, of a curvature at each damping, ascending."""
        return [f"{kind}_{damping:g}" for damping in sorted(self.sweep)]

    @property
    def sweep(self) -> tuple[float, ...]:
        """The dampings to try, relative to the trace of H."""
        return SWEEP if self.damping is None else self.damping

    @field_validator("damping", mode="before")
    @classmethod
    def _single(cls, damping: Any) -> Any:
        return (damping,) if isinstance(damping, int | float) else damping

    @field_validator("curvatures", "damping")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is None:
            return None
        if not values or len(set(values)) != len(values):
            raise ValueError("must be a non-empty list without repeats")
        return values

    @model_validator(mode="after")
    def _can_choose(self) -> "ScoreConfig":
        if self.query_groups == 1 and len(self.sweep) > 1:
            raise ValueError(
                "query_groups 1 leaves nothing to choose a damping by: name one"
            )
        return self


class ExplainConfig(Frozen):
    """Which training labels drive single query labels (`inflib explain`)."""

    query: str | None = None
    """Query set whose labels are explained; default: the first one."""

    pairs: tuple[str, ...] = ()
    """pair_ids of the query labels to explain, or @FILE with one per line; default: all
    of the query set."""

    train_pairs: tuple[str, ...] = ()
    """pair_ids of training labels, or @FILE with one per line, whose influence on every
    explained query label is listed, however small it is."""

    top: PositiveInt = 5
    """Training labels listed for each query label: so many of the most harmful, of the
    most helpful, and of those with the most similar gradients (nearest)."""


class VerifyConfig(Frozen):
    """Retraining that checks the scores (`inflib verify`)."""

    query: str | None = None
    """Query set whose scores say which labels are harmful; default: the first one."""

    share: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the labels, the most harmful ones, that are dropped or flipped."""

    seeds: PositiveInt = 3
    """Trainings for each change of the labels (none; harmful or random ones dropped or
    flipped), with seeds train.seed, train.seed + 1, ..."""

    groups: NonNegativeInt = 8
    """Equal groups of labels, from the least to the most harmful; one training without
    each. 0: none."""

    subsets: NonNegativeInt = 16
    """Trainings without a random half of the labels. 0: none."""

    at_once: PositiveInt = 1
    """Trainings that run at the same time, each on train.workers workers."""

    @field_validator("groups")
    @classmethod
    def _leaves_labels(cls, groups: int) -> int:
        if groups == 1:
            raise ValueError("a single group is all labels: 0, or 2 and more")
        return groups


class ReportConfig(Frozen):
    """Stage 5: terminal summary and summary.json."""

    top: PositiveInt = 10
    """Number of most harmful labels shown."""

    fdr: float = Field(default=0.1, gt=0, lt=1)
    """False discovery rate (Benjamini-Hochberg) of the tests that find labels whose
    influence differs from zero, and suspicious labelers."""

    groups: tuple[str, ...] = ("labeler", "source")
    """Columns of the data whose values divide the labels into groups to compare, the
    labeler's first. The report says which of them the data lacks."""

    min_labels: PositiveInt = 10
    """Labels that a group must have to be tested and listed. Those of smaller groups
    still count among all other labels, and say how much groups differ."""

    time: str | None = None
    """Column of the data with the time of each label (a number, or text that sorts by
    time). Ten groups of labels, in order of time, are compared then, too."""

    position: str | None = None
    """Column of the data, true where the chosen response was shown first. Adds position
    bias to the preferences that are tested."""

    truth: str | None = None
    """Boolean column of the data, true where the label is known to be wrong. Adds
    detection metrics (AUC) to the summary."""
