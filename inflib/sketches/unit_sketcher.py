"""Units to sketches, batch by batch, within the memory there is.

    u  units     k  entries of a sketch     l  layers

Gradients exist one block of one batch at a time. Sums stay on the device until the
caller takes them, so that the host packs the next batch while a GPU works on this one.
"""

import traceback
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.attention import longest_flat
from inflib.model.packing import Unit, pack, plan_batches
from inflib.numerics.oporp import Oporp
from inflib.sketches.gradients import UnitGradients
from inflib.sketches.units import UnitSketches
from inflib.telemetry import warning

CPU_BUDGET = 4096
"""Tokens per batch on a CPU: fewer cost time per call, more cost memory."""

_PROBE = 2048
_LARGEST = 65_536
_MEMORY_SHARE = 0.8


class UnitSketcher:
    """Sketches units with one model on one device."""

    def __init__(
        self,
        model: nn.Module,
        pad_id: int,
        sketch_size: int,
        seed: int,
        by_layer: bool = False,
    ) -> None:
        """Freezes `model`."""
        self.device = next(model.parameters()).device
        self.gradients = UnitGradients(model)
        self.oporp = Oporp(
            self.gradients.sizes, sketch_size, seed, self.device, by_layer
        )
        self._place = {layer.name: i for i, layer in enumerate(self.oporp.layers)}
        self._pad_id = pad_id
        config: Any = model.config
        self._longest_flat = longest_flat(config)
        self._mixes_units = config._attn_implementation == "flex_attention"

    def is_flat(self, unit: Unit) -> bool:
        """Whether a unit's prefix is computed once for all its tails."""
        return unit.longest <= self._longest_flat

    def __call__(self, units: list[Unit], token_budget: int) -> UnitSketches:
        """Values, norms and sketches; a unit that is not finite harms no other.

        Out of memory: halves token_budget and goes on. Raises MemoryError when a
        single unit does not fit.
        """
        values = torch.empty(len(units), dtype=torch.float64, device=self.device)
        sketches = torch.empty(len(units), self.oporp.sketch_size, device=self.device)
        products: list[Tensor] = []
        done = 0
        for flat, run in groupby(units, self.is_flat):
            todo = list(run)
            while todo:
                batch = next(plan_batches(todo, token_budget, flat))
                try:
                    found = self._batch(batch, flat)
                except RuntimeError as error:
                    _check_memory(error, batch)
                    token_budget = _halved(token_budget, batch)
                    continue
                rows = slice(done, done + len(batch))
                values[rows], sketches[rows], inner = found
                products += inner
                done, todo = rows.stop, todo[len(batch) :]
        products = [p.cpu() for p in products]
        bins = [layer.bins for layer in self.oporp.layers]
        return UnitSketches(values.cpu(), sketches, products, bins, token_budget)

    def fitting_budget(self, longest: int) -> int:
        """Tokens per batch that the device's memory holds: a power of two.

        longest: tokens of the longest unit to come. Measures one batch on a GPU.
        """
        if self.device.type != "cuda":
            return CPU_BUDGET
        length = min(longest, _PROBE)
        probe = [Unit([], ([1] * length,))] * (_PROBE // length)
        self._batch(probe, self.is_flat(probe[0]))  # compiles, loads kernels
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self._batch(probe, self.is_flat(probe[0]))
        used = torch.cuda.max_memory_allocated(self.device) - before
        free, _ = torch.cuda.mem_get_info(self.device)
        free += torch.cuda.memory_reserved(self.device) - before
        fitting = int(_MEMORY_SHARE * free * length * len(probe) / used)
        return min(_LARGEST, 1 << max(0, fitting.bit_length() - 1))

    def _batch(
        self, batch: list[Unit], flat: bool
    ) -> tuple[Float[Tensor, " u"], Float[Tensor, "u k"], list[Tensor]]:
        k = self.oporp.sketch_size
        sums = torch.zeros(len(batch), k, device=self.device)
        shape = (len(self._place), len(batch), len(batch))
        inner = torch.zeros(shape, dtype=torch.float64, device=self.device)

        def consume(block: str, grads: Float[Tensor, "u d"]) -> None:
            grads = grads.float()
            self.oporp.add(sums, block, grads)
            inner[self._place[self.oporp.layer_of[block]]].add_(grads @ grads.T)

        packed = pack(batch, flat, self._pad_id).to(self.device)
        values = self.gradients(packed, consume).double()
        if self._mixes_units and len(batch) > 1 and not _finite(values, sums):
            # FlexAttention multiplies by zero what its mask hides: a unit that is
            # not finite spoils its neighbours.
            found = [self._batch([unit], flat) for unit in batch]
            values = torch.cat([value for value, _, _ in found])
            sums = torch.cat([sketch for _, sketch, _ in found])
            return values, sums, [own for _, _, (own,) in found]
        return values, sums, [inner]


def _finite(*tensors: Tensor) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _check_memory(error: RuntimeError, batch: list[Unit]) -> None:
    """Raise what is not about memory, and what a smaller batch cannot help."""
    on_cpu = "can't allocate memory" in str(error)
    if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
        raise error
    if len(batch) == 1:
        raise MemoryError(
            f"a comparison of {batch[0].num_tokens} tokens does not fit the memory "
            "alone: lower prepare.max_length, or use a larger device"
        ) from error
    traceback.clear_frames(error.__traceback__)  # they hold on to the batch's tensors


def _halved(token_budget: int, batch: list[Unit]) -> int:
    tokens = sum(unit.num_tokens for unit in batch)
    halved = max(1, min(token_budget, tokens) // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warning(
        f"out of memory at {tokens} tokens in a batch; going on with token_budget "
        f"{halved}",
        retries=1,
    )
    return halved
