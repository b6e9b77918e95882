"""Do the hooks give a model's gradients? Told before anything is sketched, by plain
autograd on two short units."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from inflib.model.packing import Unit, pack
from inflib.model.reward import UNUSUAL
from inflib.numerics.rounding import computed_in, tolerance
from inflib.sketches.gradients import UnitGradients
from inflib.sketches.plain_gradients import PlainGradients
from inflib.storage.plain_text import first_line

_SMALL = 1e-3
"""Blocks whose norm is below this share of the whole gradient's are compared with that
share: lora_A has a zero gradient where lora_B is zero."""


def check_gradients(
    gradients: UnitGradients,
    plain: PlainGradients,
    pad_id: int,
    flat: Callable[[Unit], bool],
) -> str | None:
    """What is wrong with the hooks' values or gradients, with the worst block and its
    error; None where they are right.

    flat: whether a unit's prefix is computed once. Tried as units are sketched, flat or
    in padded rows: two of them with sequences of other lengths.
    """
    if gradients.not_linear:
        return f"block {gradients.not_linear[0]} is no linear map"
    units = _units(gradients.model, pad_id)
    expected = [_collect(partial(plain, unit)) for unit in units]
    for is_flat in sorted({flat(units[0]), False}):
        packed = pack(units, is_flat, pad_id).to(
            next(gradients.model.parameters()).device
        )
        try:
            values, grads = _collect(partial(gradients, packed))
        except torch.OutOfMemoryError:
            raise
        except UNUSUAL as error:
            return first_line(error)
        for i, (value, blocks) in enumerate(expected):
            own = {name: block[i : i + 1] for name, block in grads.items()}
            if problem := _compare(values[i], own, value[0], blocks):
                return problem
    return None


def _compare(
    value: Tensor,
    grads: dict[str, Tensor],
    right_value: Tensor,
    right: dict[str, Tensor],
) -> str | None:
    most = tolerance(computed_in(next(iter(right.values()))))
    total = float(torch.stack([g.double().norm() for g in right.values()]).norm())
    errors = {
        name: float((grads[name].double() - block.double()).norm())
        / max(float(block.double().norm()), _SMALL * total, 1e-30)
        for name, block in right.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= most:  # NaN, too
        return (
            f"the gradient of block {worst} is off by {errors[worst]:.2g} of its norm"
        )
    difference = abs(float(value - right_value))
    if not difference <= most * (1 + abs(float(right_value))):
        return f"a margin is {float(value):.4g}, and {float(right_value):.4g} by itself"
    return None


def _collect(
    compute: Callable[[Callable[[str, Tensor], None]], Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """(values, {block: gradients})."""
    grads: dict[str, Tensor] = {}

    def take(name: str, block: Tensor) -> None:
        grads[name] = block.clone()

    return compute(take), grads


def _units(model: nn.Module, pad_id: int) -> list[Unit]:
    """Two comparisons of some tokens, without the pad token."""
    embeddings = model.get_input_embeddings()  # type: ignore[operator]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, embeddings.num_embeddings, (64,), generator=generator)
    left = [i for i in ids.tolist() if i != pad_id]
    lengths = iter((5, 4, 9, 2, 6, 3))
    parts = []
    for length in lengths:
        part, left = left[:length], left[length:]
        parts.append(part)
    return [Unit(parts[0], (parts[1], parts[2])), Unit(parts[3], (parts[4], parts[5]))]
