"""The gradient benchmark's figures for one dtype; see ray_jobs/benchmark.py."""

import dataclasses
import platform
import time
from collections.abc import Callable
from typing import Any

import peft
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from inflib.benchmarks.contenders import Contenders, max_rel_error
from inflib.benchmarks.exact import without_float32
from inflib.benchmarks.timing import ratio, run_in_turn
from inflib.benchmarks.workload import hh_pairs, recurring_pairs, reward_model
from inflib.model.packing import plan_batches
from inflib.sketches.units import plan_units


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how thoroughly."""

    shape: str = "llama-31m"
    num_pairs: int = 48
    token_budget: int = 4096
    sketch_size: int = 65_536
    repeats: int = 3
    loop_every: int = 6
    """The batch-size-1 contenders take every n-th pair ..."""

    paper_every: int = 48
    """... and the paper's loop, much slower, every so many."""


def describe(settings: Settings) -> dict[str, Any]:
    """Versions, machine, model, tokens, and the ratio of matrix products' operations:
    what ours over training_step would be if nothing else took time."""
    contenders = _contenders(settings, torch.float32)
    pairs, budget = contenders.pairs, settings.token_budget
    shared = sum(unit.num_tokens for unit in pairs)
    whole = sum(len(ids) for unit in pairs for ids in unit.sequences)
    rows = plan_batches(pairs, budget, flat=False)
    padded = sum(len(b) * 2 * max(u.longest for u in b) for b in rows)
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "settings": dataclasses.asdict(settings),
        "parameters": sum(p.numel() for p in contenders.model.parameters()),
        "trainable_parameters": contenders.size,
        "tokens_shared": shared,
        "tokens_unshared": whole,
        "tokens_padded_rows": padded,
        "tokens_unshared_over_shared": whole / shared,
        "flop_ours_over_training_step": _flop(contenders.ours)
        / _flop(contenders.training_step),
    }


def errors(settings: Settings) -> dict[str, float]:
    """Ours against autograd of two plain forward passes."""
    found = {}
    few = hh_pairs(8)
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        contenders = _contenders(settings, dtype)
        if dtype == torch.float64:
            without_float32(contenders.model, positions=1024)
        found[f"max_rel_err_{name}"] = max_rel_error(contenders, few)
    return found


def speeds(
    settings: Settings, dtype: torch.dtype, peers: dict[str, Any]
) -> dict[str, Any]:
    """Pairs per second of every contender, in turn, and their ratios.

    peers: further contenders by name.
    """
    contenders = _contenders(settings, dtype)
    loop, paper = settings.loop_every, settings.paper_every
    shares: list[float] = []

    def ours() -> int:
        started = time.perf_counter()
        done = contenders.ours()
        shares.append(contenders.sketch_seconds / (time.perf_counter() - started))
        return done

    found: dict[str, Any] = run_in_turn(
        {
            "ours": ours,
            "training_step": contenders.training_step,
            "autograd_loop": lambda: contenders.autograd_loop(loop),
            "datainf_two_pass": lambda: contenders.datainf_two_pass(loop),
            "paper_loop": lambda: contenders.paper_loop(paper),
            **peers,
        },
        settings.repeats,
    )
    for name in [name for name in found if name not in ("ours", "training_step")]:
        found[f"ours_over_{name}"] = ratio(found, name, "ours")  # a speed-up
    found["ours_over_training_step"] = ratio(found, "ours", "training_step")  # a time
    found["sketch_share"] = sorted(shares)[len(shares) // 2]
    return found


def response_mode(settings: Settings, dtype: torch.dtype) -> dict[str, Any]:
    """Comparisons per second when 4 responses make 6 comparisons per prompt."""
    rows = recurring_pairs(num_prompts=settings.num_pairs // 6)
    contenders = _contenders(settings, dtype)

    def run(kind: Any) -> int:
        plan = plan_units(rows, kind)
        contenders.train(False)
        found = contenders.sketcher(plan.units, settings.token_budget)
        found.comparisons(plan)
        return len(rows)

    found = run_in_turn(
        {kind: lambda kind=kind: run(kind) for kind in ("comparison", "response")},  # type: ignore[misc]
        settings.repeats,
    )
    return {
        "response_unit": found["response"],
        "comparison_unit": found["comparison"],
        "response_over_comparison": ratio(found, "comparison", "response"),
    }


def _contenders(settings: Settings, dtype: torch.dtype) -> Contenders:
    return Contenders(
        reward_model(settings.shape, dtype),
        hh_pairs(settings.num_pairs),
        settings.sketch_size,
        settings.token_budget,
    )


def _flop(contender: Callable[[], int]) -> int:
    """Floating-point operations of matrix products, attention not included."""
    with FlopCounterMode(display=False) as counter:
        contender()
    return counter.get_total_flops()


def _cpu() -> dict[str, Any]:
    with open("/proc/cpuinfo") as file:
        lines = dict(
            line.strip().split(":", 1) for line in file if line.count(":") == 1
        )
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = fields.get("flags", "").split()
    known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "model": fields.get("model name", platform.processor()),
        "features": [flag for flag in known if flag in flags],
    }
