"""The reward model of a recipe: which model it is."""

import re
from typing import Any, Literal

from pydantic import (
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from inflib.config.base import Frozen

_LANGUAGE = ("dpo", "generative")
"""Margins of language models."""

QUESTION = """\
Which response to the conversation below is better?

{{ prompt }}

Response A: {{ first }}

Response B: {{ second }}

Answer with A or B alone."""

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
    ref, as TRL's DPOTrainer trains it. generative: the log-odds of a language model's
    two answers to model.question, the mean of both orders of the responses.
    package.module:function: a function of yours that gives each sequence its reward
    (docs/models.md)."""

    head: Literal["score", "language_model"] | None = None
    """Class of the model: with a score head, or a language model. null: what the margin
    needs, and a score head for a function of yours."""

    beta: PositiveFloat = 0.1
    """DPO's beta: scale of its implicit rewards. Of an adapter, what it was trained
    with."""

    question: str = QUESTION
    """With margin generative: what the model is asked, a Jinja template of prompt,
    first and second. A chat model gets it as a user's message."""

    answers: tuple[str, str] = ("A", "B")
    """With margin generative: the answers that the first response is better, and the
    second; one token each, after the question."""

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
        return self.head == "language_model" or self.margin in _LANGUAGE

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
        if margin in ("reward", *_LANGUAGE) or _FUNCTION.fullmatch(margin):
            return margin
        raise ValueError(
            "must be reward, dpo, generative or package.module:function, not "
            f"{margin!r}"
        )

    @model_validator(mode="after")
    def _is_one_margin(self) -> "ModelConfig":
        if self.margin != "reward" and self.objective_weights is not None:
            raise ValueError(
                "objective_weights are of margin reward: leave them out with margin "
                f"{self.margin}"
            )
        heads = {"reward": "score"} | dict.fromkeys(_LANGUAGE, "language_model")
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
