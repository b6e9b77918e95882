"""Margin gradients of every pair in a batch, block by block, from hooks.

    b  comparisons     s  sequences of a comparison (its two responses)     t  tokens
    i, o  input and output features of one linear map

All weights are frozen in autograd: the gradient flows through activations only. At
each trained linear map the hooks see its input x and the gradient of sum(margins) in
its output, and form each comparison's weight gradient in one product. Margins are
summed, never averaged, so a gradient does not depend on the batch it was computed in.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.packing import Batch
from inflib.reward import margins, trained_linears

Consume = Callable[[str, Float[Tensor, "b d"]], None]
"""Takes a block's name and its gradients, one flattened row per comparison."""


def weight_grads(
    inputs: Float[Tensor, "b t i"], output_grads: Float[Tensor, "b t o"]
) -> Float[Tensor, "b o i"]:
    """Per-sample gradient in W of a linear map, output = input @ W.T."""
    return torch.einsum("bto,bti->boi", output_grads, inputs)


def block_sizes(model: nn.Module) -> dict[str, int]:
    """Parameters of each block (weight, then bias if it is trained), in order."""
    return {
        name: sum(p.numel() for p in module.parameters() if p.requires_grad)
        for name, module in trained_linears(model).items()
    }


class MarginGradients:
    """Margins of a batch, their gradients handed over block by block."""

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

    def __call__(self, batch: Batch, consume: Consume) -> Float[Tensor, " b"]:
        """Margins r(a) - r(b); calls `consume` once per block, in no fixed order."""
        with self._hooks(consume), torch.enable_grad():
            found = margins(self.model, batch)
            found.sum().backward()
        return found.detach()

    @contextmanager
    def _hooks(self, consume: Consume) -> Iterator[None]:
        with ExitStack() as stack:
            embeddings: Any = self.model.get_input_embeddings()  # type: ignore[operator]
            handles = [embeddings.register_forward_hook(_start_gradient)]
            for name, linear in self.blocks.items():
                hook = self._recorder(name, consume)
                handles.append(linear.register_forward_hook(hook))
            for handle in handles:
                stack.callback(handle.remove)
            yield

    def _recorder(self, name: str, consume: Consume) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
            inputs = args[0].detach()

            def receive(output_grad: Tensor) -> None:
                grads = weight_grads(by_pair(inputs), by_pair(output_grad)).flatten(1)
                if self._has_bias[name]:
                    grads = torch.cat([grads, by_pair(output_grad).sum(1)], dim=1)
                consume(name, grads)

            output.register_hook(receive)

        return record


def by_pair(rows: Float[Tensor, "rows *t f"]) -> Float[Tensor, "b st f"]:
    """Put both sequences of a comparison in one row: [a; b] -> tokens of a, then b."""
    b = rows.shape[0] // 2
    rows = rows.reshape(2, b, -1, rows.shape[-1])
    return rows.transpose(0, 1).reshape(b, -1, rows.shape[-1])


def _start_gradient(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    # With every weight frozen, autograd needs one tensor to start from.
    return output.detach().requires_grad_(True)
