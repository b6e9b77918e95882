"""A batch of units to each unit's gradient, block by block, by hooks.

    u  units (comparisons or responses)     t  tokens     d  entries of a block
    i, o  input and output features of one linear map

All weights are frozen in autograd: the gradient flows through activations only, from
the first trained map on. At each trained linear map the hooks see its input x and the
gradient of the sum of all units' values in its output, and form each unit's weight
gradient from its own tokens. Values are summed, never averaged, so a gradient does not
depend on the batch it was computed in.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.packing import Batch
from inflib.model.reward import read_at, unit_values
from inflib.model.trained_weights import trained, trained_blocks

Consume = Callable[[str, Float[Tensor, "u d"]], None]
"""Takes a block's name and its gradients: a row per unit, the block's trained
parameters in its order."""


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
    longest = max(stop - start for start, stop in itertools.pairwise(bounds))
    starts = torch.tensor(bounds, device=inputs.device)
    place = torch.arange(longest, device=inputs.device)  # the host does not wait
    index = starts[:-1, None] + place
    outside = index >= starts[1:, None]
    index = index.clamp_(max=len(inputs) - 1)
    padded_grads = output_grads[index].masked_fill(outside[:, :, None], 0)
    return torch.bmm(padded_grads.transpose(1, 2), inputs[index])


def block_sizes(model: nn.Module) -> dict[str, int]:
    """Number of trained parameters of each block, in the model's order."""
    return {
        name: sum(p.numel() for p in trained(module))
        for name, module in trained_blocks(model).items()
    }


def scales_by_block(model: nn.Module, scales: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scales of gradients by name of the parameter to those of each block, in the order
    of its parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        block: torch.cat([scales[names[p]].flatten().float() for p in trained(module)])
        for block, module in trained_blocks(model).items()
    }


class UnitGradients:
    """Computes the values of a batch's units and hands over their gradients.

    What it assumes of a model is that each block is a linear map, called on each token
    of the batch, or on those alone that rewards are read at; once or more often, as
    where layers share their weights: the gradients of the calls add up. It checks in
    every batch how often blocks were called, and on how many rows; gradient_check
    compares with autograd.
    """

    def __init__(self, model: nn.Module) -> None:
        """Freezes `model`; its trainable parameters are remembered as the blocks."""
        self.model = model
        self.blocks = trained_blocks(model)
        self.sizes = block_sizes(model)
        self.not_linear = [
            name for name, block in self.blocks.items() if type(block) is not nn.Linear
        ]
        self._trains = {name: what_trains(block) for name, block in self.blocks.items()}
        model.requires_grad_(False)

    def __call__(self, batch: Batch, consume: Consume) -> Float[Tensor, " u"]:
        """Value of each unit: a comparison's margin r(a) - r(b), a response's reward.

        Calls `consume` once per block with the gradients of these values in the block's
        parameters; the order of the blocks is not fixed. Raises ValueError naming a
        block that was not called, or on other rows than the batch's tokens.
        """
        # The head and the last layer see the tokens alone that rewards are read at.
        _, bounds = read_at(self.model, batch)
        calls = Calls([bounds, batch.token_bounds()], consume)
        with self._hooks(calls), torch.enable_grad():
            values = unit_values(self.model, batch)
            values.sum().backward()
        calls.check(self.blocks)
        return values.detach()

    @contextmanager
    def _hooks(self, calls: "Calls") -> Iterator[None]:
        with ExitStack() as stack:
            for name, block in self.blocks.items():
                hook = self._recorder(name, calls)
                stack.callback(block.register_forward_hook(hook).remove)
            yield

    def _recorder(self, name: str, calls: "Calls") -> Callable[..., Tensor]:
        def record(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            if not output.requires_grad:  # the first trained map: autograd starts here
                output = output.detach().requires_grad_(True)
            calls.watch(name, args[0], output, *self._trains[name])
            return output

        return record


class Calls:
    """The calls of each block in one batch, forward and backward."""

    def __init__(self, bounds: Iterable[list[int]], consume: Consume) -> None:
        """bounds: where units begin and end among the rows of a call, for each number
        of rows that a call may have; consume: gets a block's gradients, once."""
        self._bounds = {each[-1]: each for each in bounds}
        self._consume = consume
        self._made: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._sums: dict[str, Tensor] = {}

    def watch(
        self, name: str, inputs: Tensor, output: Tensor, weight: bool, bias: bool
    ) -> None:
        """Form the units' gradients once that of a call's output is there.

        inputs, output: of the call; weight, bias: which of these the block trains.
        """
        rows = inputs.detach().flatten(0, -2)
        bounds = self._count(name, len(rows))

        def receive(output_grad: Tensor) -> None:
            grads = output_grad.flatten(0, -2)
            same = rows.to(grads.dtype)
            parts = []
            if weight:
                parts.append(weight_grads(same, grads, bounds).flatten(1))
            if bias:
                ones = torch.ones_like(same[:, :1])
                parts.append(weight_grads(ones, grads, bounds).flatten(1))
            self._answer(name, torch.cat(parts, dim=1))

        output.register_hook(receive)

    def _count(self, name: str, num_rows: int) -> list[int]:
        """Count a call; returns the bounds of the units in its rows."""
        self._made[name] = self._made.get(name, 0) + 1
        if num_rows not in self._bounds:
            raise ValueError(
                f"block {name} was called on {num_rows} rows, not on the batch's "
                f"{' or '.join(map(str, sorted(self._bounds)))}"
            )
        return self._bounds[num_rows]

    def _answer(self, name: str, grads: Float[Tensor, "u d"]) -> None:
        """Take the gradients of one call; of the last one, hand over the sum."""
        self._answered[name] = self._answered.get(name, 0) + 1
        if name in self._sums:
            grads = self._sums.pop(name) + grads
        if self._answered[name] < self._made[name]:
            self._sums[name] = grads
        else:
            self._consume(name, grads)

    def check(self, names: Iterable[str]) -> None:
        """Raise ValueError naming a block that was not called as often as it gave
        gradients."""
        for name in names:
            made, answered = self._made.get(name, 0), self._answered.get(name, 0)
            if made != answered or not made:
                raise ValueError(
                    f"block {name} was called {made} times, with {answered} gradients"
                )


def what_trains(block: nn.Module) -> tuple[bool, bool]:
    """Whether a block trains its weight, and its bias."""
    own = trained(block)
    weight, bias = (
        any(each is getattr(block, name, None) for each in own)
        for name in ("weight", "bias")
    )
    return weight, bias
