"""The reward model of a recipe: which model, and how it is trained."""

import re
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

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


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

    margin: str = "reward"
    """What a label's two responses are compared by. reward: the score of a reward
    model, as TRL's RewardTrainer trains it. dpo: the implicit reward of a language
    model, beta * (log pi(y|x) - log ref(y|x)) with the base without the adapter for
    ref, as TRL's DPOTrainer trains it. package.module:function: a function of yours
    that gives each sequence its reward (docs/models.md)."""

    head: Literal["score", "language_model"] | None = None
    """Class of the model: with a score head, or a language model. null: what the margin
    needs, and a score head for a function of yours."""

    beta: PositiveFloat = 0.1
    """DPO's beta: scale of its implicit rewards. Of an adapter, what it was trained
    with."""

    objective_weights: tuple[float, ...] | None = None
    """For a score head with several outputs, one for each objective: the weight of each
    in the reward, which is their weighted sum. null: a head of one output."""

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

    quantization: Literal["nf4"] | None = None
    """Keep the frozen base's linear maps in 4 bits (NF4 with double quantization, as in
    QLoRA), computed in model.dtype; LoRA and score head stay as they are. A quarter of
    bfloat16's memory; of an adapter, take what it was trained with. Needs the package
    bitsandbytes."""

    sharded_over: PositiveInt = 1
    """Devices that share one copy of the frozen base, for one that fits none of them:
    FSDP2 keeps a part of every layer on each. LoRA and score head are whole on each.
    train.workers and sketch.workers are multiples of it. Gives the same bits as 1."""

    attention: Literal["sdpa", "eager", "flex_attention"] = "sdpa"
    """Attention implementation: flex_attention on GPUs, sdpa on CPUs, eager for models
    that cap attention scores (Gemma 2) on CPUs."""

    trust_remote_code: bool = False
    """Run Python code that comes with the base model on the hub."""

    @property
    def is_language_model(self) -> bool:
        """Whether it has a language model's head, and no score head."""
        return self.head == "language_model" or self.margin == "dpo"

    @property
    def is_custom(self) -> bool:
        """Whether rewards are those of a function of the user's."""
        return ":" in self.margin

    @property
    def task(self) -> str:
        """PEFT's task_type of its adapter."""
        return "CAUSAL_LM" if self.is_language_model else "SEQ_CLS"

    @property
    def outputs(self) -> int:
        """Outputs of the score head."""
        return len(self.objective_weights or (1.0,))

    @field_validator("objective_weights")
    @classmethod
    def _weighs_something(cls, weights: Any) -> Any:
        if weights is not None and not any(weights):
            raise ValueError("must have a weight that is not 0, else all rewards are 0")
        return weights

    @field_validator("margin")
    @classmethod
    def _is_known(cls, margin: str) -> str:
        if margin in ("reward", "dpo") or _FUNCTION.fullmatch(margin):
            return margin
        raise ValueError(
            f"must be reward, dpo or package.module:function, not {margin!r}"
        )

    @model_validator(mode="after")
    def _is_one_margin(self) -> "ModelConfig":
        if self.margin != "reward" and self.objective_weights is not None:
            raise ValueError(
                "objective_weights are of margin reward: leave them out with margin "
                f"{self.margin}"
            )
        heads = {"reward": "score", "dpo": "language_model"}
        if self.head not in (None, heads.get(self.margin, self.head)):
            raise ValueError(f"margin {self.margin} is not of head {self.head}")
        return self

    @model_validator(mode="after")
    def _shards_whole_weights(self) -> "ModelConfig":
        if self.sharded_over > 1 and self.quantization is not None:
            raise ValueError(
                f"sharded_over {self.sharded_over} is for weights that are not "
                "quantized: take one of the two"
            )
        return self


class TrainConfig(Frozen):
    """Stage 2: LoRA reward model, or a language model by DPO (model.margin);
    Bradley-Terry loss (prepare.margin_column adds a margin), with smoothed labels,
    until the loss of held-out labels is least."""

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
    """Labels per forward pass on one worker, when both of their responses are as long
    as the longest; of shorter ones as many as that memory takes. Lower it where memory
    runs out."""

    engine: Literal["flat", "trl"] = "flat"
    """How a training step is computed. flat: a prompt once, and each response to it,
    whatever the number of labels on it, without padding (encoders: rows of like
    length). trl: as TRL does it, the prompt twice for each label, in padded rows. The
    loss and its gradient are the same; lora_dropout, if any, is drawn once for a prompt
    and not for each of its responses."""

    sketch: Literal["after", "during"] = "after"
    """When labels are sketched. after: by the stage `sketch`, all by one model
    (train.keep). during: by training's own passes, each label by the model as it is
    when it first comes by, and query sets in the middle of the first epoch. That saves
    the gradient pass, for somewhat worse scores (docs/validity.md). Of engine flat."""

    lora_r: PositiveInt = 16
    """LoRA rank."""

    lora_alpha: PositiveFloat = 32.0
    """LoRA alpha; LoRA's update is scaled by lora_alpha / lora_r."""

    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on LoRA inputs. 0 also turns the base model's own dropout off. With
    model.margin dpo there is none, as in TRL."""

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
        if self.sketch == "during" and self.engine != "flat":
            raise ValueError(
                "sketch during is of engine flat; for a training with TRL of your own, "
                "see inflib.sketch_training"
            )
        if self.batch_size % (self.workers * self.micro_batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of workers x "
                f"micro_batch_size = {self.workers} x {self.micro_batch_size}"
            )
        return self
