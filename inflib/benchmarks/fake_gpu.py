"""What a gradient pass of a large model takes, without the model: PyTorch's fake
tensors have shapes, dtypes and devices, and no values.

Device "cuda" needs a PyTorch that knows one: a real GPU, or tests/pretended_gpu.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from inflib.benchmarks.workload import hh_pairs, reward_model
from inflib.model.packing import Unit, pack, plan_batches
from inflib.sketches.gradients import UnitGradients


class CountedMemory(TorchDispatchMode):
    """Bytes of the tensors on one kind of device that were made in the block."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.now, self.peak = device, 0, 0
        self._known = set[int]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.device.type == self.device:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextmanager
def _building() -> Iterator[None]:
    """In the block, Module.to replaces parameters (fake ones it would swap, which fails
    where something has a weak reference to one); copied tensors stay in one mode."""

    def apply(self: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
        for module in self.modules():
            for name, p in module._parameters.items():
                if p is not None:
                    with torch.no_grad():
                        new = nn.Parameter(change(p), requires_grad=p.requires_grad)
                    module._parameters[name] = new
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else change(buffer)
        return self

    modules: Any = nn.Module
    modes: Any = FakeTensorMode
    usual = modules._apply
    modules._apply, modes.__deepcopy__ = apply, lambda mode, memo: mode
    try:
        yield
    finally:
        modules._apply = usual
        del modes.__deepcopy__


def batch_of(token_budget: int) -> list[Unit]:
    """Of the batches of comparisons with HH's lengths, the one with the most."""
    pairs = sorted(hh_pairs(1024), key=lambda unit: unit.longest)
    return max(plan_batches(pairs, token_budget, flat=True), key=len)


def gradient_pass(
    shape: str, token_budget: int, device: str, sketch_size: int = 65_536
) -> dict[str, Any]:
    """Memory and operations of one batch of comparisons with HH's lengths: values,
    gradients by hooks, sketches.

    shape: of benchmarks.workload, in bfloat16, attention sdpa, LoRA of rank 16.
    """
    batch = batch_of(token_budget)
    real = pack(batch, True, 0)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake, CountedMemory(device) as memory:
        with _building():
            model = reward_model(shape, torch.bfloat16, device)
        gradients = UnitGradients(model)
        weights = memory.now
        sketches = torch.zeros(len(batch), sketch_size, device=device)

        def consume(block: str, grads: Tensor) -> None:
            bins = torch.zeros(grads.shape[1], dtype=torch.long, device=device)
            sketches.scatter_add_(1, bins.expand(len(grads), -1), grads.float())

        packed = real.to(torch.device(device))
        with FlopCounterMode(display=False) as counter:
            gradients(packed, consume)
    tokens = sum(unit.num_tokens for unit in batch)
    return {
        "shape": shape,
        "pairs": len(batch),
        "tokens": tokens,
        "weights_gib": weights / 2**30,
        "peak_gib": memory.peak / 2**30,
        "activations_kib_per_token": (memory.peak - weights) / tokens / 2**10,
        "tflop_per_pair": counter.get_total_flops() / len(batch) / 1e12,
        "flop_per_token_and_weight": counter.get_total_flops()
        / tokens
        / sum(p.numel() for p in model.parameters()),
    }
