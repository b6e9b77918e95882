"""The recipe: one frozen model per stage, read from YAML and the command line.

Every field's docstring is its help text. Fields marked *bound* decide what the
numbers of a run are; a run folder refuses another value for them (`bind`). The
others (workers, batch sizes, report options) may change between two calls.
"""

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from inflib.folder import Folder


class Frozen(BaseModel):
    """Immutable, and strict about names: a misspelt option is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )


class PlantConfig(Frozen):
    """A known bias put into labels, to see whether an audit finds it."""

    kind: Literal["longer_chosen"] = "longer_chosen"
    """longer_chosen: the response with more tokens is made the chosen one."""

    share: float = Field(0.2, gt=0, le=1)
    """Share of the labels made biased, picked by a hash of pair_id and seed. Those
    already agreeing with the bias stay as they are; the others are flipped."""

    seed: int = 0
    """Fixes which labels are picked."""


class SourceConfig(Frozen):
    """One set of preference labels: where it is and which of it to take."""

    path: str | tuple[str, ...]
    """Files (JSONL, Parquet, CSV; globs, .gz and s3:// allowed), a `datasets` folder,
    or a hub name written hub:owner/name, with a folder of it as hub:owner/name/dir."""

    split: str = "train"
    """Split of a hub name or of a `datasets` dictionary folder."""

    columns: dict[str, str] = {}
    """Renames: our name (prompt, chosen, rejected, pair_id) to the column's name."""

    part: tuple[float, float] = (0.0, 1.0)
    """Takes the pairs whose prompt hashes into [from, to) of [0, 1): two sources on
    the same files with disjoint parts never share a prompt."""

    select: Literal["all", "chosen_shorter", "chosen_longer"] = "all"
    """Keeps the labels whose chosen response has fewer (more) tokens than the
    rejected one; ties are in neither."""

    plant: PlantConfig | None = None
    """Known bias put into these labels (adds columns planted, planted_flip)."""

    @field_validator("columns")
    @classmethod
    def _known_names(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = set(columns) - {"prompt", "chosen", "rejected", "pair_id"}
        if unknown:
            raise ValueError(
                f"cannot map {sorted(unknown)}: our names are prompt, chosen, "
                "rejected and pair_id (other columns are kept under their own names)"
            )
        return columns

    @field_validator("part")
    @classmethod
    def _ordered(cls, part: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= part[0] < part[1] <= 1:
            raise ValueError(f"part must be 0 <= from < to <= 1, not {list(part)}")
        return part


class PrepareConfig(Frozen):
    """Stage 1: preference data to tokenised comparisons and labels, in shards."""

    train: SourceConfig
    """Labels to audit (and to train the reward model on)."""

    queries: dict[str, SourceConfig]
    """Trusted query sets by name; each gets its own influence column."""

    max_length: PositiveInt = 1024
    """Tokens per sequence; longer ones lose tokens at the left of the prompt, never
    of a response."""

    append_eos: bool = True
    """End text pairs (not chat) with the tokenizer's EOS, as TRL does. Set to false
    for an adapter whose training read the reward before EOS (pad == eos)."""

    shard_rows: PositiveInt = 1024
    """Most comparisons in a shard. Shards have about equal token counts."""

    on_bad_rows: Literal["exclude", "stop"] = "exclude"
    """exclude: list bad rows and go on. stop: list them and stop."""

    @property
    def sources(self) -> dict[str, SourceConfig]:
        """All pair sets by name: train, then the query sets."""
        return {"train": self.train, **self.queries}

    @field_validator("queries")
    @classmethod
    def _names(cls, queries: dict[str, SourceConfig]) -> dict[str, SourceConfig]:
        if not queries:
            raise ValueError("at least one query set is needed")
        for name in queries:
            if name == "train" or not name.isidentifier():
                raise ValueError(
                    f"query set name {name!r}: use letters, digits and _, not 'train'"
                )
        return queries


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
    """Dtype of the frozen base weights; LoRA and the score head stay float32."""

    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention implementation."""

    trust_remote_code: bool = False
    """Lets a hub model run its own Python code."""


class TrainConfig(Frozen):
    """Stage 2: LoRA reward model, Bradley-Terry loss. Defaults: the paper's recipe."""

    epochs: PositiveFloat = 4.0
    """Passes over the training labels."""

    learning_rate: PositiveFloat = 2e-5
    """Peak AdamW learning rate."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning-rate schedule."""

    warmup_share: float = Field(0.03, ge=0, lt=1)
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

    lora_dropout: float = Field(0.1, ge=0, lt=1)
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

    store_dtype: Literal["float16", "int8"] = "float16"
    """Stored entries; each row has a float32 scale of its own."""

    token_budget: PositiveInt = 4096
    """Padded tokens per batch, both responses counted. Changes rounding only."""

    workers: PositiveInt = 2
    """Actors that compute gradients. Changes no bit of the output."""

    cpus_per_worker: PositiveInt = 1
    """CPU cores (torch threads) per actor. Bound: it changes rounding."""

    gpus_per_worker: NonNegativeFloat = 0.0
    """GPUs per actor."""


class ScoreConfig(Frozen):
    """Stage 4: sketches to influence scores."""

    curvatures: tuple[Literal["datainf", "identity"], ...] = ("datainf", "identity")
    """Inverse-Hessian approximations, the first being the one reported. identity is
    the plain gradient dot product."""

    damping: PositiveFloat = 0.1
    """DataInf's lambda, relative to the mean squared gradient entry: lambda =
    damping * mean |g|^2 / D, D the number of trainable parameters."""

    group_shards: PositiveInt = 8
    """Shards per reduction task. Changes rounding only."""

    @field_validator("curvatures")
    @classmethod
    def _distinct(cls, curvatures: tuple[str, ...]) -> tuple[str, ...]:
        if not curvatures or len(set(curvatures)) != len(curvatures):
            raise ValueError("curvatures must be a non-empty list without repeats")
        return curvatures


class ReportConfig(Frozen):
    """Stage 5: terminal summary and summary.json."""

    top: PositiveInt = 10
    """Most harmful labels shown."""

    labeler: str = "labeler"
    """Kept column that names the labeler; ignored when the data has no such column."""

    truth: str | None = None
    """Kept boolean column: true where the label is known to be wrong. Adds detection
    figures (AUC) to the summary."""


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
    report: ReportConfig = ReportConfig()
    cluster: ClusterConfig = ClusterConfig()

    @field_validator("run")
    @classmethod
    def _absolute(cls, run: str) -> str:
        return run if "://" in run else str(Path(run).absolute())


FREE = {
    "run",
    "score",
    "report",
    "cluster",
    "prepare.on_bad_rows",
    "train.max_failures",
    "train.cpus_per_worker",
    "sketch.workers",
}
"""Fields that may differ between two calls on one run folder."""


def read_recipe(text: str, overrides: dict[str, str], origin: str) -> Recipe:
    """Recipe from YAML text and {dotted field: YAML value}; errors name `origin`."""
    try:
        fields = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{origin}: not valid YAML: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{origin}: a recipe is a YAML mapping")
    for name, value in overrides.items():
        *parents, last = name.split(".")
        place = fields
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise ValueError(f"--{name}: {parent} has no fields of its own")
        place[last] = yaml.safe_load(value)
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, p['loc'])) or 'recipe'}: {p['msg']}"
            for p in error.errors()
        ]
        raise ValueError(f"{origin}: " + "; ".join(problems)) from None


def bind(recipe: Recipe) -> None:
    """Record the recipe in the run folder; refuse one that changes its numbers."""
    run = Folder(recipe.run)
    if run.exists("config.json"):
        stored = _flat(json.loads(run.read_bytes("config.json")))
        asked = _flat(recipe.model_dump(mode="json"))
        for name in sorted(stored.keys() | asked.keys()):
            free = any(name == f or name.startswith(f + ".") for f in FREE)
            if not free and stored.get(name) != asked.get(name):
                raise ValueError(
                    f"{run.url} was made with {name} = {stored.get(name)!r}, not "
                    f"{asked.get(name)!r}: choose another --run, or set it back"
                )
    run.write("config.json", recipe.model_dump_json(indent=1).encode())


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
