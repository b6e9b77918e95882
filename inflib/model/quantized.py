"""A base model whose linear maps are kept in 4 bits, by bitsandbytes."""

import importlib.util
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from inflib.config.reward_model import ModelConfig

_INFERENCE = "support_avx512bf16_for_cpu"


def four_bits(model: ModelConfig, kept: Iterable[str]) -> Any:
    """What from_pretrained takes as quantization_config; None without quantization.

    kept: names of modules that are not quantized. Raises ValueError without the
    package.
    """
    if model.quantization is None:
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            f"model.quantization {model.quantization} needs the package bitsandbytes: "
            "pip install bitsandbytes"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.quantization,
        bnb_4bit_compute_dtype=getattr(torch, model.dtype),
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=[*kept],
    )


def keep_differentiable(model: nn.Module) -> None:
    """Keep 4-bit maps from a layout for inference that bitsandbytes gives them on some
    CPUs, in evaluation: through it no gradient flows, and nothing says so."""
    for module in model.modules():
        if hasattr(module, _INFERENCE):
            setattr(module, _INFERENCE, False)


def is_quantized(model: nn.Module) -> bool:
    """Whether a loaded base, or a model on it, has 4-bit maps."""
    return bool(getattr(model, "is_loaded_in_4bit", False))
