"""The weights of a model that are trained: those of LoRA and of the score head."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor, nn


def set_dtypes(model: PeftModel) -> None:
    """LoRA computes in the base's dtype, the score head in float32."""
    frozen = (p.dtype for p in model.parameters() if not p.requires_grad)
    dtype = next(dtype for dtype in frozen if dtype.is_floating_point)
    for name, module in trained_blocks(model).items():
        if "lora_" in name:
            module.to(dtype)
        elif isinstance(module, nn.Linear) and module.weight.requires_grad:
            module.float().register_forward_pre_hook(cast_input)


def cast_input(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    """A hook before a linear map: its input in the dtype of its weights."""
    return (args[0].to(module.weight.dtype),)  # type: ignore[arg-type]


def trained_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Every module that has trainable parameters of its own, by PEFT's name, in the
    model's order: each lora_A, each lora_B, the score head, and whatever else the
    adapter trains. These are the blocks of a gradient. Raises ValueError without one.
    """
    blocks = {name: module for name, module in model.named_modules() if trained(module)}
    if not blocks:
        raise ValueError("the adapter has no trainable parameters")
    return blocks


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The module's own trainable parameters, in its order."""
    return [p for p in module.parameters(recurse=False) if p.requires_grad]


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """All trainable parameters of a model, by name."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def set_trained(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a model's trainable parameters these values, by name."""
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(weights[name])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In the block, the model is in evaluation, and its weights may be frozen or made
    trainable; then each module and each weight is as it was."""
    training = {module: module.training for module in model.modules()}
    required = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was
        for parameter, requires in required.items():
            parameter.requires_grad_(requires)
