"""A batch of units to each unit's gradient, block by block, by hooks.

    u  units (comparisons or responses)     t  tokens     d  entries of a block
    i, o  input and output features of one linear map

All weights are frozen in autograd: the gradient flows through activations only, from
the first trained map on. At each trained linear map the hooks see its input x and the
gradient of the sum of all units' values in its output, and form each unit's weight
gradient from its own tokens. Values are summed, never averaged, so a gradient does not
depend on the batch it was computed in.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.packing import Batch
from inflib.model.reward import trained_linears, unit_values

Consume = Callable[[str, Float[Tensor, "u d"]], None]
"""Takes a block's name and its gradients: a row per unit, weight, then bias."""


def weight_grads(
    inputs: Float[Tensor, "t i"], output_grads: Float[Tensor, "t o"], bounds: list[int]
) -> Float[Tensor, "u o i"]:
    """Each unit's gradient in the weight W of a linear map, output = input @ W.T.

    Unit j is tokens bounds[j] to bounds[j + 1].
    """
    num_units = len(bounds) - 1
    if bounds == list(range(0, len(inputs) + 1, max(1, len(inputs) // num_units))):
        return torch.bmm(
            output_grads.view(num_units, -1, output_grads.shape[1]).transpose(1, 2),
            inputs.view(num_units, -1, inputs.shape[1]),
        )
    if inputs.is_cuda:
        return _padded_weight_grads(inputs, output_grads, bounds)
    grads = inputs.new_empty(num_units, output_grads.shape[1], inputs.shape[1])
    for unit in range(num_units):
        tokens = slice(bounds[unit], bounds[unit + 1])
        torch.mm(output_grads[tokens].T, inputs[tokens], out=grads[unit])
    return grads


def _padded_weight_grads(
    inputs: Float[Tensor, "t i"], output_grads: Float[Tensor, "t o"], bounds: list[int]
) -> Float[Tensor, "u o i"]:
    """The same in one product, units padded to the longest: faster on a GPU."""
    starts = torch.tensor(bounds, device=inputs.device)
    place = torch.arange(int(starts.diff().max()), device=inputs.device)
    index = starts[:-1, None] + place
    outside = index >= starts[1:, None]
    index = index.clamp_(max=len(inputs) - 1)
    padded_grads = output_grads[index].masked_fill(outside[:, :, None], 0)
    return torch.bmm(padded_grads.transpose(1, 2), inputs[index])


def block_sizes(model: nn.Module) -> dict[str, int]:
    """Number of trained parameters of each block, in the model's order."""
    return {
        name: sum(p.numel() for p in module.parameters() if p.requires_grad)
        for name, module in trained_linears(model).items()
    }


class UnitGradients:
    """Computes the values of a batch's units and hands over their gradients."""

    def __init__(self, model: nn.Module) -> None:
        """Freezes `model`; its trainable parameters are remembered as the blocks."""
        self.model = model
        self.blocks = trained_linears(model)
        self.sizes = block_sizes(model)
        self._has_bias = {
            name: linear.bias is not None and linear.bias.requires_grad
            for name, linear in self.blocks.items()
        }
        model.requires_grad_(False)

    def __call__(self, batch: Batch, consume: Consume) -> Float[Tensor, " u"]:
        """Value of each unit: a comparison's margin r(a) - r(b), a response's reward.

        Calls `consume` once per block with the gradients of these values in the block's
        parameters; the order of the blocks is not fixed.
        """
        with self._hooks(batch, consume), torch.enable_grad():
            values = unit_values(self.model, batch)
            values.sum().backward()
        return values.detach()

    @contextmanager
    def _hooks(self, batch: Batch, consume: Consume) -> Iterator[None]:
        by_token, by_reward = batch.token_bounds(), batch.reward_bounds()
        with ExitStack() as stack:
            for name, linear in self.blocks.items():
                hook = self._recorder(name, by_token, by_reward, consume)
                stack.callback(linear.register_forward_hook(hook).remove)
            yield

    def _recorder(
        self, name: str, by_token: list[int], by_reward: list[int], consume: Consume
    ) -> Callable[..., Tensor]:
        def record(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            inputs = args[0].detach().flatten(0, -2)
            # The head and the last layer see reward tokens alone.
            bounds = by_token if len(inputs) == by_token[-1] else by_reward

            def receive(output_grad: Tensor) -> None:
                output_grad = output_grad.flatten(0, -2)
                grads = weight_grads(inputs, output_grad, bounds).flatten(1)
                if self._has_bias[name]:
                    ones = torch.ones_like(inputs[:, :1])
                    bias_grads = weight_grads(ones, output_grad, bounds).flatten(1)
                    grads = torch.cat([grads, bias_grads], dim=1)
                consume(name, grads)

            if not output.requires_grad:  # the first trained map: autograd starts here
                output = output.detach().requires_grad_(True)
            output.register_hook(receive)
            return output

        return record
