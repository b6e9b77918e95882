"""Settings to the gradient benchmark's numbers: speeds, ratios, errors, token counts.

ray_jobs/benchmarks/gradient_pass.py runs it.
"""

import dataclasses
import platform
import statistics
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
    """Model, pairs and repeats of the benchmark."""

    shape: str = "llama-31m"
    num_pairs: int = 48
    token_budget: int = 4096
    sketch_size: int = 65_536
    repeats: int = 3
    loop_every: int = 6
    """Contenders that take one pair at a time take every so many pairs."""

    paper_every: int = 48
    """The same of the paper's loop, which is much slower."""


def describe(settings: Settings) -> dict[str, Any]:
    """Versions, machine, model, token counts, and FLOP of ours over training_step: the
    ratio of their times if nothing but matrix products took time."""
    contenders = _contenders(settings, torch.float32)
    pairs, budget = contenders.pairs, settings.token_budget
    shared = sum(unit.num_tokens for unit in pairs)
    whole = sum(len(ids) for unit in pairs for ids in unit.sequences)
    padded = sum(
        len(batch) * 2 * max(unit.longest for unit in batch)
        for batch in plan_batches(pairs, budget, flat=False)
    )
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
    """Largest relative error of our gradients, by dtype (contenders.max_rel_error)."""
    errors_by_dtype = {}
    pairs = hh_pairs(8)
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        contenders = _contenders(settings, dtype)
        if dtype == torch.float64:
            without_float32(contenders.model, positions=1024)
        errors_by_dtype[f"max_rel_err_{name}"] = max_rel_error(contenders, pairs)
    return errors_by_dtype


def speeds(
    settings: Settings, dtype: torch.dtype, peers: dict[str, Any]
) -> dict[str, Any]:
    """Pairs per second of every contender, run in turn, and ratios of their times.

    peers: further contenders by name. `sketch_share`, `paper_sketch_share`: of our time
    and the paper's, what the sketch takes; `ours_over_paper_model`: of speeds, without
    the sketch of either.
    """
    contenders = _contenders(settings, dtype)
    loop, paper = settings.loop_every, settings.paper_every
    shares: dict[str, list[float]] = {"ours": [], "paper_loop": []}

    def with_share(name: str, run: Callable[[], int]) -> Callable[[], int]:
        def timed() -> int:
            started = time.perf_counter()
            num_pairs = run()
            seconds = time.perf_counter() - started
            shares[name].append(contenders.sketch_seconds / seconds)
            return num_pairs

        return timed

    results: dict[str, Any] = run_in_turn(
        {
            "ours": with_share("ours", contenders.ours),
            "training_step": contenders.training_step,
            "autograd_loop": lambda: contenders.autograd_loop(loop),
            "datainf_two_pass": lambda: contenders.datainf_two_pass(loop),
            "paper_loop": with_share(
                "paper_loop", lambda: contenders.paper_loop(paper)
            ),
            **peers,
        },
        settings.repeats,
    )
    others = [name for name in results if name not in ("ours", "training_step")]
    for name in others:
        results[f"ours_over_{name}"] = ratio(results, name, "ours")  # of speeds
    # This one is of times: how much longer ours takes.
    results["ours_over_training_step"] = ratio(results, "ours", "training_step")
    share, paper_share = (statistics.median(values) for values in shares.values())
    results["sketch_share"], results["paper_sketch_share"] = share, paper_share
    results["ours_over_paper_model"] = (
        results["ours_over_paper_loop"] * (1 - paper_share) / (1 - share)
    )
    return results


def response_mode(settings: Settings, dtype: torch.dtype) -> dict[str, Any]:
    """Comparisons per second with responses as units, and with comparisons as units.

    Each prompt has 4 responses, which make 6 comparisons.
    """
    rows = recurring_pairs(num_prompts=settings.num_pairs // 6)
    contenders = _contenders(settings, dtype)

    def run(kind: Any) -> int:
        plan = plan_units(rows, kind)
        contenders.train(False)
        unit_sketches = contenders.sketcher(plan.units, settings.token_budget)
        unit_sketches.comparisons(plan)
        return len(rows)

    speed = run_in_turn(
        {kind: lambda kind=kind: run(kind) for kind in ("comparison", "response")},  # type: ignore[misc]
        settings.repeats,
    )
    return {
        "response_unit": speed["response"],
        "comparison_unit": speed["comparison"],
        "response_over_comparison": ratio(speed, "comparison", "response"),
    }


def _contenders(settings: Settings, dtype: torch.dtype) -> Contenders:
    return Contenders(
        reward_model(settings.shape, dtype),
        hh_pairs(settings.num_pairs),
        settings.sketch_size,
        settings.token_budget,
    )


def _flop(contender: Callable[[], int]) -> int:
    """FLOP of one run's matrix products, attention not included."""
    with FlopCounterMode(display=False) as counter:
        contender()
    return counter.get_total_flops()


def _cpu() -> dict[str, Any]:
    """Model of the CPU, and which instructions it has for matrix products."""
    with open("/proc/cpuinfo") as file:
        lines = dict(
            line.strip().split(":", 1) for line in file if line.count(":") == 1
        )
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = fields.get("flags", "").split()
    relevant = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "model": fields.get("model name", platform.processor()),
        "features": [flag for flag in relevant if flag in flags],
    }
