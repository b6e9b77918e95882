"""A model to the same model in float64 throughout, norms and rotary angles included.

transformers computes norms and rotary angles in float32 whatever the model's dtype:
two ways to compute the same gradient then agree to 1e-7 only. Without these roundings
they must agree to 1e-9, which leaves errors no place to hide.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn


def without_float32(model: nn.Module, positions: int) -> nn.Module:
    """The model itself, now in float64. positions: tokens of a sequence, at most."""
    model.double()
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = functools.partial(_norm, module)
        elif kind.endswith("RotaryEmbedding"):
            module.forward = functools.partial(_angles, module.forward, positions)
    return model


def _norm(module: Any, x: Tensor) -> Tensor:
    eps = getattr(module, "variance_epsilon", None) or module.eps
    weight = module.weight + 1 if "Gemma" in type(module).__name__ else module.weight
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def _angles(
    rotary: Any, positions: int, x: Tensor, position_ids: Tensor, *layer: Any
) -> tuple[Tensor, Tensor]:
    """(cosines, sines), looked up in a table of all positions.

    Computed for each batch, those of one position may differ in the last place of a
    float32 with its place in the batch.
    """
    places = torch.arange(positions, device=x.device)[None]
    cos, sin = rotary(x, places, *layer)
    return cos[0, position_ids], sin[0, position_ids]
