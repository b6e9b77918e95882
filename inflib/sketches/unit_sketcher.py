"""Units to sketches, batch by batch, within the memory there is.

    u  units     d  entries of a block's gradient     k  entries of a sketch

Gradients exist one block of one batch at a time. Sums stay on the device until the
caller takes them, so that the host packs the next batch while a GPU works on this one.
"""

import traceback
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.model.packing import Unit, pack, plan_batches, worth_sharing
from inflib.model.reward import check_rewards, longest_shared
from inflib.model.sharded import turns_of
from inflib.numerics.oporp import Oporp
from inflib.sketches.gradient_check import check_gradients
from inflib.sketches.gradients import UnitGradients, scales_by_block
from inflib.sketches.plain_gradients import PlainGradients
from inflib.sketches.units import UnitSketches
from inflib.telemetry import warning

CPU_BUDGET = 4096
"""Tokens per batch on a CPU: fewer cost time per call, more cost memory."""

_PROBE = 2048
"""Tokens of the batch whose memory is measured on a GPU."""

_LARGEST = 65_536
"""Tokens per batch at most, however much memory there is."""

_MEMORY_SHARE = 0.8
"""Share of the free memory that a batch may fill."""


class UnitSketcher:
    """Sketches units with one model on one device."""

    def __init__(
        self,
        model: nn.Module,
        pad_id: int,
        sketch_size: int,
        seed: int,
        by_layer: bool = False,
        scales: dict[str, Tensor] | None = None,
    ) -> None:
        """Freezes `model`. scales: what gradients are multiplied with before all else,
        by name of the parameter."""
        self._scales = scales and scales_by_block(model, scales)
        self.device = next(model.parameters()).device
        check_rewards(model, pad_id)
        plain = PlainGradients(model)  # before the model is frozen
        self.gradients = UnitGradients(model)
        self.oporp = Oporp(
            self.gradients.sizes, sketch_size, seed, self.device, by_layer
        )
        self._layer_index = {layer.name: i for i, layer in enumerate(self.oporp.layers)}
        self._pad_id = pad_id
        config: Any = model.config
        self._longest_flat = longest_shared(model)
        self._mixes_units = config._attn_implementation == "flex_attention"
        self._plain: PlainGradients | None = None
        self._shares_base = turns_of(model) is not None
        if problem := check_gradients(self.gradients, plain, pad_id, self.is_flat):
            if self._shares_base:
                raise ValueError(
                    f"{config.model_type}: {problem}, compared with autograd; such a "
                    "model cannot share its base: set model.sharded_over to 1"
                )
            self._plain, self._longest_flat = plain, 0
            warning(
                f"{config.model_type}: {problem}, compared with autograd; so each unit "
                "is computed by itself, exactly but more slowly"
            )

    def is_flat(self, unit: Unit) -> bool:
        """Whether a unit's prefix is computed once for all its tails."""
        fits = unit.longest <= self._longest_flat
        return fits and worth_sharing(len(unit.prefix), unit.num_tokens)

    def __call__(self, units: list[Unit], token_budget: int) -> UnitSketches:
        """Values, sketches and inner products of the units, in their order.

        token_budget: tokens per batch; halved when memory runs out. Raises MemoryError
        when a single unit does not fit. A unit that is not finite harms no other.
        """
        values = torch.empty(len(units), dtype=torch.float64, device=self.device)
        sketches = torch.empty(len(units), self.oporp.sketch_size, device=self.device)
        products: list[Tensor] = []
        done = 0
        for flat, consecutive in groupby(units, self.is_flat):
            todo = list(consecutive)
            while todo:
                batch = next(plan_batches(todo, token_budget, flat))
                batch = batch if self._plain is None else batch[:1]
                try:
                    computed = self._batch(batch, flat)
                except RuntimeError as error:
                    _check_memory(error, batch)
                    if self._shares_base:  # the others wait for this very pass
                        raise MemoryError(
                            "out of memory: lower sketch.token_budget, below "
                            f"{token_budget}"
                        ) from error
                    token_budget = _halved(token_budget, batch)
                    continue
                rows = slice(done, done + len(batch))
                values[rows], sketches[rows], batch_products = computed
                products += batch_products
                done, todo = rows.stop, todo[len(batch) :]
        products = [product.cpu() for product in products]
        bins = [layer.bins for layer in self.oporp.layers]
        return UnitSketches(values.cpu(), sketches, products, bins, token_budget)

    def fitting_budget(self, longest: int) -> int:
        """Tokens per batch that fit the device's memory: a power of two.

        longest: tokens of the longest sequence to come. On a GPU the memory of one
        batch is measured; on a CPU the budget is CPU_BUDGET.
        """
        if self.device.type != "cuda":
            return CPU_BUDGET
        length = min(longest, _PROBE)
        probe = [Unit([], ([1] * length,))] * (_PROBE // length)
        probe = probe if self._plain is None else probe[:1]
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
        """(values, sketches, inner products by layer) of one batch.

        A list of products: one tensor [layers, u, u], or one for each unit by itself.
        """
        k = self.oporp.sketch_size
        sketches = torch.zeros(len(batch), k, device=self.device)
        shape = (len(self._layer_index), len(batch), len(batch))
        products = torch.zeros(shape, dtype=torch.float64, device=self.device)

        def consume(block: str, grads: Float[Tensor, "u d"]) -> None:
            grads = grads.float()
            if self._scales is not None:
                grads = grads * self._scales[block]
            self.oporp.add(sketches, block, grads)
            layer = self._layer_index[self.oporp.layer_of[block]]
            products[layer].add_(grads @ grads.T)

        if self._plain is not None:
            (unit,) = batch
            return self._plain(unit, consume).double(), sketches, [products]
        packed = pack(batch, flat, self._pad_id).to(self.device)
        values = self.gradients(packed, consume).double()
        if self._mixes_units and len(batch) > 1 and not _finite(values, sketches):
            # FlexAttention multiplies by zero what its mask hides: a unit that is
            # not finite spoils its neighbours.
            singles = [self._batch([unit], flat) for unit in batch]
            values = torch.cat([value for value, _, _ in singles])
            sketches = torch.cat([sketch for _, sketch, _ in singles])
            return values, sketches, [product for _, _, (product,) in singles]
        return values, sketches, [products]


def _finite(*tensors: Tensor) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _check_memory(error: RuntimeError, batch: list[Unit]) -> None:
    """Raise other errors than out of memory; MemoryError if the batch is one unit."""
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
    """Half of the budget, or of the batch's tokens where these are fewer."""
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
