"""The recipe: one frozen model per stage. Every field's docstring is its help text."""

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen
from inflib.config.bias import BiasConfig
from inflib.config.data import PrepareConfig
from inflib.config.judge import JudgeConfig
from inflib.config.oversight import OversightConfig
from inflib.config.reward_model import ModelConfig
from inflib.config.score import ExplainConfig, ReportConfig, ScoreConfig, VerifyConfig
from inflib.config.training import TrainConfig


class SketchConfig(Frozen):
    """Stage 3: pairs to sketches of margin gradients."""

    sketch_size: PositiveInt = 65_536
    """Entries K that a gradient is compressed to. The error of an inner product falls
    as 1/sqrt(K); storage and the time of scoring grow with K."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of OPORP's permutation and signs. Sketches of different seeds cannot be
    compared."""

    by_layer: bool = False
    """Give every layer of the model entries of its own, which datainf_layer needs.
    Inner products of whole gradients then have larger errors where layers differ
    much."""

    store_dtype: Literal["float32", "float16", "int8"] = "int8"
    """Number format of stored entries, with a float32 scale for each sketch. int8
    scores as well as float32 in a quarter of the bytes (docs/benchmarks.md)."""

    unit: Literal["auto", "comparison", "response"] = "auto"
    """What a gradient is computed for. comparison: each one, its prompt computed once.
    response: each distinct response; a comparison's sketch is then a difference of two.
    auto: response where that needs at least a tenth fewer tokens, decided for each pair
    set."""

    token_budget: PositiveInt | Literal["auto"] = "auto"
    """Tokens per batch, padding included. Changes rounding only. auto: 4096 on CPUs; on
    GPUs what fits the memory of the first worker, for all workers. A worker that runs
    out of memory halves its batches for the rest of the shard."""

    workers: PositiveInt = 2
    """Ray actors that compute gradients. Any number gives the same bits."""

    cpus_per_worker: PositiveInt = 1
    """CPU cores (torch threads) per actor. Changes rounding only."""

    gpus_per_worker: NonNegativeFloat = 0.0
    """GPUs per actor; 0: gradients are computed on CPUs. Changes rounding only."""


class ClusterConfig(Frozen):
    """Where Ray runs."""

    address: str = "local"
    """local: start Ray on this machine. Otherwise the address of a running cluster.
    RAY_ADDRESS, which `ray job submit` sets, comes first."""

    num_cpus: PositiveInt | None = None
    """CPU cores that a Ray started here may use; default: all of the machine."""


class Recipe(Frozen):
    """A whole audit: the run folder, and a section for each stage and study."""

    run: str
    """Folder of the run: what is computed, and where it resumes. A local path or
    s3://bucket/prefix; on a cluster, one that every node can reach."""

    prepare: PrepareConfig
    model: ModelConfig
    train: TrainConfig = TrainConfig()
    sketch: SketchConfig = SketchConfig()
    score: ScoreConfig = ScoreConfig()
    explain: ExplainConfig = ExplainConfig()
    verify: VerifyConfig = VerifyConfig()
    report: ReportConfig = ReportConfig()
    bias: BiasConfig = BiasConfig()
    judge: JudgeConfig | None = None
    """Section of `inflib judge`: a language model that rates or compares responses.
    null: none."""

    oversight: OversightConfig | None = None
    """Section of `inflib oversight`: in what labelers differ from an expert. null:
    none."""

    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _has_layers(self) -> "Recipe":
        if "datainf_layer" in self.score.curvatures and not self.sketch.by_layer:
            raise ValueError(
                "score.curvatures: datainf_layer needs sketch.by_layer true"
            )
        return self

    @model_validator(mode="after")
    def _shares_bases(self) -> "Recipe":
        devices = self.model.sharded_over
        for name, workers in (
            ("train.workers", self.train.workers),
            ("sketch.workers", self.sketch.workers),
        ):
            if workers % devices:
                raise ValueError(
                    f"{name} {workers} must be a multiple of model.sharded_over "
                    f"{devices}: so many workers share one copy of the base"
                )
        return self

    @model_validator(mode="after")
    def _is_of_the_flat_engine(self) -> "Recipe":
        others = {
            "model.sharded_over": self.model.sharded_over > 1,
            "model.objective_weights": self.model.objective_weights is not None,
            f"model.margin {self.model.margin}": self.model.margin != "reward",
        }
        for name, asked in others.items():
            if asked and self.train.engine != "flat":
                raise ValueError(f"{name} is of train.engine flat")
        return self

    @model_validator(mode="after")
    def _can_have_other_margins(self) -> "Recipe":
        if self.model.margin == "reward":
            return self
        others = {
            "model.sharded_over 1": self.model.sharded_over == 1,
            "train.sketch after": self.train.sketch == "after",
            "sketch.unit comparison": self.sketch.unit != "response",
        }
        for needed, given in others.items():
            if not given:
                raise ValueError(f"model.margin {self.model.margin} needs {needed}")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "Recipe":
        """A curvature and a query set name a column together: datainf of layer_expert
        would be datainf_layer of expert."""
        made: dict[str, tuple[str, str]] = {}
        for query in self.prepare.queries:
            for score in self.score.score_names:
                name = f"{score}_{query}"
                if name in made:
                    raise ValueError(
                        f"prepare.queries.{query}: scores of {score} on it and of "
                        f"{made[name][0]} on {made[name][1]} would both be called "
                        f"{name}; give the query set another name"
                    )
                made[name] = score, query
        return self

    def query_set(self, name: str | None, option: str) -> str:
        """The query set called `name`, or the first one for None.

        Raises ValueError, naming the option, for a query set that the recipe lacks.
        """
        names = list(self.prepare.queries)
        if name is not None and name not in names:
            raise ValueError(f"{option} {name!r}: no such query set; there is {names}")
        return name or names[0]

    @field_validator("run")
    @classmethod
    def _absolute(cls, run: str) -> str:
        return run if "://" in run else str(Path(run).absolute())
