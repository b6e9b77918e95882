"""The recipe: one frozen model per stage. Every field's docstring is its help text."""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen
from inflib.config.bias import BiasConfig
from inflib.config.data import PrepareConfig
from inflib.config.judge import JudgeConfig
from inflib.config.oversight import OversightConfig
from inflib.config.score import ExplainConfig, ReportConfig, ScoreConfig, VerifyConfig


class ModelConfig(Frozen):
    """The reward model: a base model and, optionally, a trained adapter."""

    base: str
    """Folder or hub name of the base model, or package:NAME/FOLDER for weights that an
    installed Python package ships."""

    revision: str | None = None
    """Branch, tag or commit of the base model on the hub."""

    adapter: str | None = None
    """LoRA reward model written by TRL or PEFT, to audit instead of training one: a
    folder, s3://, or a name on the hub (owner/name, or hub:owner/name). Its own
    tokenizer and chat template are used where it has them."""

    adapter_revision: str | None = None
    """Branch, tag or commit of an adapter on the hub."""

    adapter_base: Literal["same", "any"] = "same"
    """What the adapter's record of its base must say. same: model.base, by the digest
    of its weights or the last part of its name. any: it is not looked at."""

    pad_token: str | None = None
    """Token to pad with, one that the tokenizer has; not EOS. null: the tokenizer's
    own, or another one that ends no text."""

    chat_template: str | None = None
    """Chat template in place of the tokenizer's: a file (.jinja), or the template
    itself."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format in which the base model and LoRA compute; the score head and all
    sums over gradients are float32. bfloat16 is for GPUs; of CPUs, only those with AMX
    gain."""

    attention: Literal["sdpa", "eager", "flex_attention"] = "sdpa"
    """Attention implementation: flex_attention on GPUs, sdpa on CPUs, eager for models
    that cap attention scores (Gemma 2) on CPUs."""

    trust_remote_code: bool = False
    """Run Python code that comes with the base model on the hub."""


class TrainConfig(Frozen):
    """Stage 2: LoRA reward model, Bradley-Terry loss (prepare.margin_column adds a
    margin), with smoothed labels, until the loss of held-out labels is least."""

    epochs: PositiveFloat = 4.0
    """Passes over the training labels that the learning-rate schedule is planned for,
    and at most made; see train.holdout."""

    holdout: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the training labels, by whole prompts, that are not trained on but say
    when to stop: the step with their least loss is kept, at the best scale of margins.
    Below 20 comparisons nothing is held out. 0: train.epochs alone decide."""

    evaluations_per_epoch: PositiveInt = 8
    """How often per epoch the loss of the held-out labels is computed."""

    patience: PositiveInt = 8
    """Training ends after so many evaluations without a lower loss of the held-out
    labels."""

    keep: float = Field(default=0.5, gt=0, le=1)
    """Labels are scored by the model at this share of its training, in the metric of
    Adam; what retraining does agrees most with that (docs/validity.md). The share is of
    the sum of learning rates. 1: by the trained model, in no metric."""

    label_smoothing: float = Field(default=0.2, ge=0, lt=0.5)
    """Share of each label's target that goes to the other response in training. It
    keeps margins small: a model that is sure of its labels has large, uneven gradients
    and loss derivatives near 0, and influence finds less (docs/results.md). Held-out
    labels and scores are by the loss without it."""

    learning_rate: PositiveFloat = 1e-4
    """Peak AdamW learning rate."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning-rate schedule after the warm-up."""

    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly from 0."""

    weight_decay: NonNegativeFloat = 0.0
    """AdamW weight decay."""

    batch_size: PositiveInt = 16
    """Labels per optimiser step, over all workers. A multiple of workers x
    micro_batch_size."""

    micro_batch_size: PositiveInt = 16
    """Labels per forward pass on one worker. Lower it where memory runs out."""

    lora_r: PositiveInt = 16
    """LoRA rank."""

    lora_alpha: PositiveFloat = 32.0
    """LoRA alpha; LoRA's update is scaled by lora_alpha / lora_r."""

    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on LoRA inputs. 0 also turns the base model's own dropout off."""

    target_modules: str | tuple[str, ...] = "all-linear"
    """Modules that get LoRA, as PEFT's target_modules names them."""

    bf16: bool = False
    """Train under bfloat16 autocast, for GPUs that support it."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: slower, less memory."""

    saves_per_epoch: PositiveInt = 1
    """Checkpoints per epoch. A killed worker loses the steps since the last one."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the order of the data and of LoRA's and the score head's first
    weights."""

    workers: PositiveInt = 1
    """Data-parallel workers. Another number gives another model (of the same
    quality)."""

    cpus_per_worker: PositiveInt = 2
    """CPU cores per worker."""

    gpus_per_worker: NonNegativeFloat = 0.0
    """GPUs per worker; 0: training on CPUs."""

    max_failures: NonNegativeInt = 3
    """Failures of workers that training recovers from, at its last checkpoint."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_loss_of_margins(cls, fields: Any) -> Any:
        name = "center_rewards_coefficient"
        if isinstance(fields, dict) and fields.get(name):
            raise ValueError(
                f"{name} is not supported: the loss is -log sigmoid(r(chosen) - "
                "r(rejected) - prepare.margin_column). Sketches of margin gradients "
                "cannot express centred rewards"
            )
        return fields

    @model_validator(mode="after")
    def _divides(self) -> "TrainConfig":
        if self.batch_size % (self.workers * self.micro_batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of workers x "
                f"micro_batch_size = {self.workers} x {self.micro_batch_size}"
            )
        return self


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
