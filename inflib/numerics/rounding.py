"""How far two ways to compute the same may be apart."""

import torch
from torch import Tensor

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_OF_FEWER_BITS = 0.1
"""Rounding alone makes some 1e-6 of a gradient in float32, and some 1e-2 in bfloat16,
whose last digit is 1/256."""


def tolerance(dtype: torch.dtype) -> float:
    """Largest difference, relative to the size of what is compared."""
    return _TOLERANCE.get(dtype, _OF_FEWER_BITS)


def computed_in(values: Tensor) -> torch.dtype:
    """The dtype in which such values are computed: autocast's, where it is on."""
    kind = values.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return values.dtype


def wide(values: Tensor) -> Tensor:
    """The same in float32, if they have fewer bits."""
    return values if values.dtype == torch.float64 else values.float()
