"""Checks and speed of the gradient pass on one GPU; see scripts/gpu_check.py."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inflib.benchmarks.contenders import Contenders, max_rel_error
from inflib.benchmarks.workload import hh_pairs, reward_model
from inflib.model.packing import pack, plan_batches
from inflib.model.reward import unit_values
from inflib.numerics.oporp import Oporp
from inflib.sketches.store import encode
from inflib.sketches.unit_sketcher import UnitSketcher

SKETCH_SIZE = 65_536
LIMITS = {"float32": 1e-4, "bfloat16": 0.1}
"""Largest relative error of a block's gradients that is allowed, against plain autograd
in the same dtype, on a model of 8 layers. bfloat16 keeps 8 bits."""


def check(shape: str, device: str) -> dict[str, Any]:
    """Errors of gradients and sketches on the device.

    Raises AssertionError where one is above its limit.
    """
    results: dict[str, Any] = {}
    kernels = ("sdpa", "eager", "flex_attention") if device == "cuda" else ("sdpa",)
    pairs = hh_pairs(8)
    for dtype, limit in LIMITS.items():
        for attention in kernels:
            model = reward_model(shape, getattr(torch, dtype), device, attention)
            error = max_rel_error(Contenders(model, pairs, SKETCH_SIZE, 4096), pairs)
            results[f"max_rel_err_{dtype}_{attention}"] = error
            assert error < limit, f"{dtype}, {attention}: {error} > {limit}"
    sizes = {"a": 200_000, "b": 50_000}
    generator = torch.Generator().manual_seed(0)
    grads = {n: torch.randn(7, size, generator=generator) for n, size in sizes.items()}
    sketches = [_sketch(sizes, grads, where) for where in ("cpu", device, device)]
    results["sketch_same_bits_twice"] = torch.equal(sketches[1], sketches[2])
    results["sketch_max_difference_from_cpu"] = float(
        (sketches[0] - sketches[1]).abs().max()
    )
    assert results["sketch_same_bits_twice"]
    assert results["sketch_max_difference_from_cpu"] < 1e-4
    return results


def speed(
    shape: str,
    device: str,
    num_pairs: int,
    token_budget: int,
    matmul_size: int | None = None,
) -> dict[str, Any]:
    """Pairs per second, memory, share of the matmul rate, and where the time goes.

    token_budget: 0 for what fits the memory; matmul_size: see matmul_rate. Time is
    split by differences between passes, each of which does one thing more than the one
    before.
    """
    on_gpu = device == "cuda"
    attention = "flex_attention" if on_gpu else "sdpa"
    model = reward_model(shape, torch.bfloat16, device, attention)
    sketcher = UnitSketcher(model, 0, SKETCH_SIZE, seed=0)
    pairs = sorted(hh_pairs(num_pairs), key=lambda unit: unit.longest)
    budget = token_budget or sketcher.fitting_budget(pairs[-1].longest)
    batches = list(plan_batches(pairs, budget, flat=True))
    tokens = sum(unit.num_tokens for unit in pairs)

    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                unit_values(model, pack(batch, True, 0).to(sketcher.device))

    def hooked(consume: Callable[[str, Tensor], None]) -> Callable[[], None]:
        def run() -> None:
            for batch in batches:
                sketcher.gradients(pack(batch, True, 0).to(sketcher.device), consume)

        return run

    def backward() -> None:
        for batch in batches:
            ids = pack(batch, True, 0).to(sketcher.device)
            inputs = model.get_input_embeddings()
            handle = inputs.register_forward_hook(lambda *a: a[-1].requires_grad_(True))
            unit_values(model, ids).sum().backward()
            handle.remove()

    def whole() -> None:
        sketched.append(sketcher(pairs, budget))

    sketched: list[Any] = []
    steps = {
        "forward": forward,
        "backward": backward,
        "gradients": hooked(lambda block, grads: None),
        "whole": whole,
    }
    seconds = {name: _seconds(step, on_gpu) for name, step in steps.items()}
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        whole()
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    seconds["copy"] = _seconds(lambda: encode(sketched[-1].sketches, "float16"), on_gpu)
    num_weights = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
    )
    # A multiplication and an addition per weight and token, forward and backward.
    rate = 4 * num_weights * tokens / seconds["whole"]
    best_rate = matmul_rate(device, matmul_size)
    pass_seconds = seconds["whole"] + seconds["copy"]
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(sketcher.gradients.sizes.values()),
        "pairs": num_pairs,
        "tokens": tokens,
        "token_budget": budget,
        "pairs_per_s": num_pairs / pass_seconds,
        "hours_per_100000_pairs": 1e5 * pass_seconds / num_pairs / 3600,
        "peak_memory_gib": peak / 2**30 if on_gpu else None,
        "flop_per_s": rate,
        "matmul_flop_per_s": best_rate,
        "share_of_matmul_rate": rate / best_rate,
        "share_of_time": {
            "forward": seconds["forward"] / pass_seconds,
            "backward": (seconds["backward"] - seconds["forward"]) / pass_seconds,
            "per_pair_gradients": (seconds["gradients"] - seconds["backward"])
            / pass_seconds,
            "sketch": (seconds["whole"] - seconds["gradients"]) / pass_seconds,
            "copy": seconds["copy"] / pass_seconds,
        },
    }


def sketch_kernels(
    device: str, size: int = 229_376, rows: int = 32
) -> dict[str, float]:
    """Seconds to sketch one block of `rows` gradients: in a fixed order of sums, as we
    do, and by one index_add_ of the same entries, which on a GPU fixes no order."""
    oporp = Oporp({"block": size}, SKETCH_SIZE, 0, device)
    generator = torch.Generator(device).manual_seed(0)
    grads = torch.randn(rows, size, device=device, generator=generator)
    sketches = torch.zeros(rows, SKETCH_SIZE, device=device)
    chunks = oporp.entries("block")
    bins = torch.cat([chunk.bins for chunk in chunks])
    signs = torch.cat([chunk.signs for chunk in chunks])
    on_gpu = device == "cuda"
    return {
        "deterministic": _seconds(lambda: oporp.add(sketches, "block", grads), on_gpu),
        "index_add": _seconds(
            lambda: sketches.index_add_(1, bins, grads * signs), on_gpu
        ),
    }


def matmul_rate(device: str, size: int | None = None) -> float:
    """FLOP per second of a product of square bfloat16 matrices; size: rows of one, by
    default 8,192 on a GPU and 1,024 on a CPU."""
    size = size or (8192 if device == "cuda" else 1024)
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(size, size, device=device, generator=generator).bfloat16()
    seconds = _seconds(lambda: [a @ a for _ in range(10)], device == "cuda")
    return 10 * 2 * size**3 / seconds


def _sketch(sizes: dict[str, int], grads: dict[str, Tensor], device: str) -> Tensor:
    oporp = Oporp(sizes, SKETCH_SIZE, 0, device)
    sketches = torch.zeros(7, SKETCH_SIZE, device=device)
    for name, values in grads.items():
        oporp.add(sketches, name, values.to(device))
    return sketches.cpu()


def _seconds(step: Callable[[], Any], on_gpu: bool, repeats: int = 3) -> float:
    """Of the fastest of the repeats."""
    times = []
    for _ in range(repeats + 1):  # the first one compiles and loads
        if on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])
