"""How the reward model of a recipe is trained."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from inflib.config.base import Frozen


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
