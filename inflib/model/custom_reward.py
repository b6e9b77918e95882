"""Rewards by a function of the user's: model.margin package.module:function.

    r  sequences of a batch

    def reward(model, batch) -> Tensor[r]

model: the base with LoRA, as PEFT makes it; batch: model.packing.Batch of padded rows,
one sequence in each (input_ids, attention_mask; last: each one's last token in the
flattened batch). A label's margin is the difference of two rewards, which is
antisymmetric by itself. A reward must not depend on the other rows.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.packing import Batch, Unit, pack
from inflib.model.sharded import base_of
from inflib.model.trained_weights import evaluating, trained_parameters
from inflib.numerics.rounding import computed_in, tolerance
from inflib.storage.plain_text import first_line

_FUNCTION = "_inflib_function"

Function = Callable[[nn.Module, Batch], Float[Tensor, " r"]]

_LENGTHS = (7, 4, 11)
"""Tokens of the sequences that a function is tried on."""


def load_function(name: str) -> Function:
    """The function of that name. Raises ValueError, in one line, where there is
    none."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"model.margin {name}: {first_line(error)}; the module must be on the "
            "path of every worker (ray job submit: in --working-dir)"
        ) from None
    if not callable(function):
        raise ValueError(f"model.margin {name}: it is no function")
    return function


def function_digest(name: str) -> str:
    """SHA-256 of the source of the module that has the function."""
    source = inspect.getsource(inspect.getmodule(load_function(name)) or load_function)
    return hashlib.sha256(source.encode()).hexdigest()


def give_function(base: nn.Module, name: str) -> None:
    """Let a base's rewards be those of the function."""
    setattr(base, _FUNCTION, (name, load_function(name)))


def function_of(model: nn.Module) -> Function | None:
    """The function by which a model's rewards are computed; None for other models."""
    found = getattr(base_of(model), _FUNCTION, None)
    return found and found[1]


def custom_rewards(model: nn.Module, batch: Batch) -> Float[Tensor, " r"]:
    """Rewards by the model's function. Raises ValueError for those of other shape."""
    name, function = getattr(base_of(model), _FUNCTION)
    values = function(model, batch)
    if not isinstance(values, Tensor) or values.shape != batch.last.shape:
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values)
        raise ValueError(
            f"model.margin {name}: it must return a tensor of {len(batch.last)} "
            f"rewards, one for each row, and returned {found}"
        )
    return values


def check_function(model: Any, pad_id: int) -> None:
    """Raise ValueError where rewards are not finite, depend on other rows or do not
    depend on LoRA; does nothing for models without a function."""
    if function_of(model) is None:
        return
    name, _ = getattr(base_of(model), _FUNCTION)
    rows = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(1, rows, (sum(_LENGTHS),), generator=generator)
    ids = drawn.where(drawn != pad_id, (pad_id + 1) % rows)
    units = [Unit([], (part.tolist(),)) for part in ids.split(list(_LENGTHS))]
    device = next(model.parameters()).device

    def rewards(chosen: list[Unit]) -> Tensor:
        return custom_rewards(model, pack(chosen, False, pad_id).to(device))

    with evaluating(model), torch.enable_grad():
        together = rewards(units)
        alone = torch.cat([rewards([unit]) for unit in units])
    if not together.isfinite().all():
        raise ValueError(f"model.margin {name}: a reward is {together.tolist()}")
    apart = float(((together - alone).abs() / (1 + alone.abs())).max().detach())
    if not apart <= tolerance(computed_in(together)):
        raise ValueError(
            f"model.margin {name}: a reward depends on the other rows of its batch "
            f"(off by {apart:.2g}): padding must not count"
        )
    parameters = [*trained_parameters(model).values()]
    grads: tuple[Tensor | None, ...] = (None,)
    if together.requires_grad:
        total = together.sum()
        grads = torch.autograd.grad(total, parameters, allow_unused=True)
    if not any(grad is not None and grad.any() for grad in grads):
        raise ValueError(
            f"model.margin {name}: rewards do not depend on the adapter's weights"
        )
