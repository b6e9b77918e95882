"""A recipe's base model, with a score head or as the language model that it is, on a
worker's device or those of a group of workers."""

from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from inflib.config.reward_model import ModelConfig
from inflib.data.question import answer_ids
from inflib.data.tokenizer import (
    load_config,
    load_tokenizer,
    loading_options,
    resolve_base,
)
from inflib.model.answer_reward import ANSWERS
from inflib.model.custom_reward import give_function
from inflib.model.implicit_reward import BETA
from inflib.model.quantized import four_bits, keep_differentiable
from inflib.model.reward import OBJECTIVES
from inflib.model.sharded import reads_weights, spread

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CLASSES: dict[str, Any] = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "CAUSAL_LM": AutoModelForCausalLM,
}
"""transformers' classes by PEFT's task_type."""

HEADS = ("score", "classifier")
"""Names of the score head in transformers' models: decoders, encoders."""


def load_base(model: ModelConfig, pad_id: int) -> nn.Module:
    """Base model with a score head (random until trained) of one output, or of one for
    each of model.objective_weights; with model.margin dpo, the language model.

    With model.sharded_over, for `place`: one process of each group reads the weights,
    the others have the same model on torch's device "meta". Raises ValueError where the
    base has a head of another number of outputs.
    """
    options = {
        "dtype": DTYPES[model.dtype],
        "attn_implementation": model.attention,
    }
    if model.sharded_over == 1 or reads_weights(model.sharded_over):
        base = _read_base(model, options)
    else:
        base = without_weights(model, load_config(model), **options)
    keep_differentiable(base)
    if model.objective_weights is not None:
        weights = torch.tensor(model.objective_weights)
        base.register_buffer(OBJECTIVES, weights, persistent=False)
    if model.margin == "dpo":
        setattr(base, BETA, model.beta)
    elif model.margin == "generative":
        setattr(base, ANSWERS, answer_ids(model.answers, load_tokenizer(model)))
    elif model.is_custom:
        give_function(base, model.margin)
    base.config.pad_token_id = pad_id
    base.config.get_text_config().pad_token_id = pad_id
    return base


def _read_base(model: ModelConfig, options: dict[str, Any]) -> Any:
    options |= loading_options(model)
    if model.is_language_model:
        base, found = AutoModelForCausalLM.from_pretrained(
            resolve_base(model.base),
            quantization_config=four_bits(model, ("lm_head",)),
            output_loading_info=True,
            **options,
        )
        if missing := sorted(found["missing_keys"]):
            raise ValueError(
                f"model.base {model.base}: {missing[0]} is not in its files and would "
                "be random: give a language model, not a reward model or an encoder"
            )
        return base
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            resolve_base(model.base),
            num_labels=model.outputs,
            quantization_config=four_bits(model, HEADS),
            **options,
        )
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ValueError(
            f"model.base {model.base}: its weights are of other shapes than its "
            f"configuration says, or its own score head has not {model.outputs} "
            "outputs: see model.objective_weights"
        ) from None


def without_weights(model: ModelConfig, config: Any, **options: Any) -> Any:
    """What `load_base` loads, on torch's device "meta". config: of the base
    (load_config); options: of transformers' from_config. Raises its ValueError or
    ImportError where there is no such class."""
    if not model.is_language_model:
        config.num_labels = model.outputs
    with torch.device("meta"):
        return CLASSES[model.task].from_config(
            config, trust_remote_code=model.trust_remote_code, **options
        )


def place(model: PeftModel, config: ModelConfig, device: torch.device) -> PeftModel:
    """A base from `load_base`, with LoRA, on a worker's device or a group's devices."""
    if config.sharded_over == 1:
        return model.to(device)
    return spread(model, config.sharded_over)
