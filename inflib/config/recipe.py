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

from inflib.config.base import Frozen, check_address
from inflib.config.bias import BiasConfig
from inflib.config.data import PrepareConfig
from inflib.config.judge import JudgeConfig
from inflib.config.oversight import OversightConfig
from inflib.config.score import ExplainConfig, ReportConfig, ScoreConfig, VerifyConfig


class ModelConfig(Frozen):
    """The reward model: a base model and, optionally, a trained adapter."""

    base: str
    """Folder or hub name of the base model, or package:NAME/FOLDER for weights that
    an installed Python package ships."""

    revision: str | None = None
    """Hub revision of the base model."""

    adapter: str | None = None
    """Folder of a LoRA reward model written by TRL or PEFT; skips training."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the base model's and LoRA's arithmetic; the score head and all sums
    over gradients are float32. bfloat16 on a CPU pays with AMX only."""

    attention: Literal["sdpa", "eager", "flex_attention"] = "sdpa"
    """Attention implementation: flex_attention on GPUs, sdpa on CPUs, eager for models
    that cap attention scores (Gemma 2) on CPUs."""

    trust_remote_code: bool = False
    """Lets a hub model run its own Python code."""

    @field_validator("adapter")
    @classmethod
    def _no_credentials(cls, adapter: str | None) -> str | None:
        return adapter if adapter is None else check_address(adapter)


class TrainConfig(Frozen):
    """Stage 2: LoRA reward model, Bradley-Terry loss (prepare.margin_column adds a
    margin). Defaults: the paper's recipe."""

    epochs: PositiveFloat = 4.0
    """Passes over the training labels."""

    learning_rate: PositiveFloat = 2e-5
    """Peak AdamW learning rate."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning-rate schedule."""

    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps used for linear warm-up."""

    weight_decay: NonNegativeFloat = 0.0
    """AdamW weight decay."""

    batch_size: PositiveInt = 16
    """Labels per optimiser step, over all workers."""

    micro_batch_size: PositiveInt = 16
    """Labels per forward pass on one worker."""

    lora_r: PositiveInt = 16
    """LoRA rank."""

    lora_alpha: PositiveFloat = 32.0
    """LoRA alpha; the update is scaled by alpha / r."""

    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on LoRA inputs. 0 also turns the base model's own dropout off."""

    target_modules: str | tuple[str, ...] = "all-linear"
    """Modules that get LoRA, as PEFT names them."""

    bf16: bool = False
    """Train under bfloat16 autocast."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: slower, less memory."""

    saves_per_epoch: PositiveInt = 1
    """Checkpoints per epoch; what a killed worker loses at most."""

    seed: int = 0
    """Order of the data, LoRA and score-head initialisation."""

    workers: PositiveInt = 1
    """Data-parallel workers. Part of the recipe: another count, another model."""

    cpus_per_worker: PositiveInt = 2
    """CPU cores per worker."""

    gpus_per_worker: NonNegativeFloat = 0.0
    """GPUs per worker."""

    max_failures: NonNegativeInt = 3
    """Worker-group failures to recover from before giving up."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_loss_of_margins(cls, fields: Any) -> Any:
        for name in ("center_rewards_coefficient", "label_smoothing"):
            if isinstance(fields, dict) and fields.get(name):
                raise ValueError(
                    f"{name} is not supported: the loss is -log sigmoid(r(chosen) - "
                    "r(rejected) - prepare.margin_column). Sketches of margin "
                    "gradients cannot express centred rewards, and TRL's reward "
                    "trainer has no label smoothing"
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
    """Entries K per sketch. The error of an inner product falls as 1/sqrt(K)."""

    seed: NonNegativeInt = 0
    """Fixes permutation and signs; sketches compare only under equal seeds."""

    by_layer: bool = False
    """Gives every layer of the model bins of its own, which datainf_layer needs.
    Products of whole gradients then have larger errors where layers differ much."""

    store_dtype: Literal["float32", "float16", "int8"] = "int8"
    """Stored entries; each row has a float32 scale of its own. int8 scores as well as
    float32 in a quarter of the bytes (docs/benchmarks.md)."""

    unit: Literal["auto", "comparison", "response"] = "auto"
    """What a gradient is computed for: every comparison, its prompt shared by both
    responses; or every distinct response, whose sketches are then subtracted. auto:
    responses where they need at least a tenth fewer tokens."""

    token_budget: PositiveInt | Literal["auto"] = "auto"
    """Tokens per batch, padding included. Changes rounding only. auto: 4096 on CPUs;
    on GPUs what fits the memory of the first worker, for all. A worker that runs out
    of memory halves its own and goes on."""

    workers: PositiveInt = 2
    """Actors that compute gradients. Changes no bit of the output."""

    cpus_per_worker: PositiveInt = 1
    """CPU cores (torch threads) per actor. Bound: it changes rounding."""

    gpus_per_worker: NonNegativeFloat = 0.0
    """GPUs per actor."""


class ClusterConfig(Frozen):
    """Where Ray runs. RAY_ADDRESS, which `ray job submit` sets, comes first."""

    address: str = "local"
    """local: start Ray inside this process. Otherwise a cluster's address."""

    num_cpus: PositiveInt | None = None
    """CPU slots of an embedded Ray; default: the machine's cores."""


class Recipe(Frozen):
    """An audit, whole."""

    run: str
    """Run folder, local or s3://bucket/prefix."""

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
    """A language model that rates or compares responses (`inflib judge`)."""

    oversight: OversightConfig | None = None
    """In what labelers differ from an expert (`inflib oversight`)."""

    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _has_layers(self) -> "Recipe":
        if "datainf_layer" in self.score.curvatures and not self.sketch.by_layer:
            raise ValueError(
                "score.curvatures: datainf_layer needs sketch.by_layer true"
            )
        return self

    def query_set(self, name: str | None, option: str) -> str:
        """The query set that an option names, the first one by default.

        Raises ValueError for one that the recipe does not have.
        """
        known = list(self.prepare.queries)
        if name is not None and name not in known:
            raise ValueError(f"{option} {name!r}: no such query set; there is {known}")
        return name or known[0]

    @field_validator("run")
    @classmethod
    def _absolute(cls, run: str) -> str:
        return check_address(run) if "://" in run else str(Path(run).absolute())
