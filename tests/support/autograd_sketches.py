"""Values, sketches and squared norms of units by plain autograd, to compare with."""

from dataclasses import dataclass

import torch

from inflib.sketches.unit_sketcher import UnitSketcher


@dataclass(frozen=True)
class ByAutograd:
    """Of some units, with the sketcher that is to give the same."""

    values: torch.Tensor
    sketches: torch.Tensor
    squares: torch.Tensor
    sketcher: UnitSketcher


def by_autograd(model, units, value, size=4096):
    """value(model, unit): what a unit's gradient is of, by transformers' own forward.
    The gradients in all trained parameters at once; a parameter that is not used has a
    zero one. Freezes the model."""
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    values, rows = [], []
    for unit in units:
        found = value(model, unit)
        grads = torch.autograd.grad(
            found, [*named.values()], allow_unused=True, materialize_grads=True
        )
        values.append(found.item())
        rows.append(dict(zip(named, grads, strict=True)))
    sketcher = UnitSketcher(model, 0, sketch_size=size, seed=0)
    sketches, squares = torch.zeros(len(units), size), torch.zeros(len(units))
    for block in sketcher.gradients.blocks:
        names = [n for n in named if n.rpartition(".")[0] == block]
        whole = torch.stack(
            [torch.cat([row[n].flatten() for n in names]) for row in rows]
        )
        sketcher.oporp.add(sketches, block, whole)
        squares += whole.square().sum(1)
    return ByAutograd(torch.tensor(values), sketches, squares, sketcher)


def assert_sketches(found, right):
    """Sketches by hooks are those by autograd."""
    scale = float(right.sketches.abs().max())
    torch.testing.assert_close(
        found.sketches, right.sketches, rtol=1e-3, atol=1e-4 * scale
    )
