"""Gradients of single units by plain autograd: right for every model, and slow.

    d  entries of a block

Each sequence goes through transformers' own forward by itself: no padding, no shared
prompt, no hooks.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.packing import Unit
from inflib.model.reward import reward_alone
from inflib.model.trained_weights import trained, trained_blocks
from inflib.sketches.gradients import Consume


class PlainGradients:
    """Computes the value of one unit at a time, and hands over its gradient."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._parameters = {
            name: trained(block) for name, block in trained_blocks(model).items()
        }

    def __call__(self, unit: Unit, consume: Consume) -> Float[Tensor, " 1"]:
        """Value of the unit, as sketches.gradients.UnitGradients gives it; calls
        `consume` once per block. A parameter that is not used has a zero gradient."""
        parameters = [p for block in self._parameters.values() for p in block]
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            with torch.enable_grad():
                rewards = [
                    reward_alone(self.model, unit.prefix, tail) for tail in unit.tails
                ]
                value = rewards[0] - rewards[1] if len(rewards) == 2 else rewards[0]
                grads = torch.autograd.grad(
                    value, parameters, allow_unused=True, materialize_grads=True
                )
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)
        left = list(grads)
        for name, block in self._parameters.items():
            of_block, left = left[: len(block)], left[len(block) :]
            consume(name, torch.cat([grad.flatten() for grad in of_block])[None])
        return value.detach()[None]
