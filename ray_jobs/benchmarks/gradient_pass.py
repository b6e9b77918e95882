"""The gradient benchmark: pairs per second of our pass, of other ways, and of Ray."""

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from rich.console import Console
from rich.table import Table

from inflib.benchmarks.dpo_speed import dpo_speed
from inflib.benchmarks.gradient_speed import (
    Settings,
    describe,
    errors,
    response_mode,
    speeds,
)
from inflib.benchmarks.run_folder import write_run
from inflib.config.recipe import Recipe
from inflib.sketches.shard_sketcher import Receipt, ShardSketcher
from ray_jobs.sketch import compute_shards

_BERGSON = Path(__file__).parents[2] / "scripts" / "bergson_contender.py"
_SHORT = {"bfloat16": "bf16", "float32": "fp32"}

Sketching = Callable[[Recipe, list[tuple[str, str]]], Iterator[Receipt]]
"""Sketches shards (pair set, shard name) of a recipe's run; a receipt for each."""


def gradient_speed(
    settings: Settings, threads: int, dtypes: list[str], bergson: str | None
) -> dict[str, Any]:
    """Results of the benchmark, those of the first dtype at the top; prints tables.

    bergson: path of a Python that has that library; None leaves it out.
    """
    torch.set_num_threads(threads)
    results: dict[str, Any] = describe(settings) | errors(settings)
    for dtype in dtypes:
        with bergson_contender(bergson, settings, dtype) as peers:
            rates = speeds(settings, getattr(torch, dtype), peers)
        rates["response_mode"] = response_mode(settings, getattr(torch, dtype))
        show(dtype, rates)
        results |= rates if dtype == dtypes[0] else {_SHORT[dtype]: rates}
    results["orchestration"] = orchestration(settings)
    for key in ("orchestration", "max_rel_err_float64", "max_rel_err_float32"):
        print(f"{key}: {results[key]}")
    return results


def dpo_gradients(settings: Settings, threads: int) -> dict[str, Any]:
    """Results of dpo_speed.dpo_speed; prints a table."""
    torch.set_num_threads(threads)
    results = dpo_speed(settings)
    show("dpo", results)
    return results


def orchestration(settings: Settings, num_shards: int = 9) -> dict[str, Any]:
    """Pairs per second of a plain loop over shards, of one and of two Ray workers.

    One thread each. Start-up is left out: no worker's first shard is counted.
    """
    rates: dict[str, list[float]] = {}
    num_pairs = settings.num_pairs // num_shards * num_shards
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    one = write_run(folder, settings.shape, num_pairs, num_shards, workers=1)
    two_workers = one.sketch.model_copy(update={"workers": 2})
    two = one.model_copy(update={"sketch": two_workers})
    contenders: dict[str, tuple[Recipe, Sketching]] = {
        "bare_loop": (one, _bare_loop),
        "one_worker": (one, compute_shards),
        "two_workers": (two, compute_shards),
    }
    for _ in range(settings.repeats):
        for name, (recipe, sketching) in contenders.items():
            rates.setdefault(name, []).append(_rate(recipe, num_shards, sketching))
    ray.shutdown()
    shutil.rmtree(folder)
    results: dict[str, Any] = {
        name: {"pairs_per_s": statistics.median(repeats), "repeats": repeats}
        for name, repeats in rates.items()
    }
    for over, under in (("one_worker", "bare_loop"), ("two_workers", "one_worker")):
        ratios = [a / b for a, b in zip(rates[over], rates[under], strict=True)]
        results[f"{over}_over_{under}"] = statistics.median(ratios)
    return results


def _bare_loop(recipe: Recipe, todo: list[tuple[str, str]]) -> Iterator[Receipt]:
    sketcher = ShardSketcher(recipe)
    return (sketcher(pairs, shard) for pairs, shard in todo)


def _rate(recipe: Recipe, num_shards: int, sketching: Sketching) -> float:
    """Pairs per second, from the end of the workers' first shards on."""
    sketches = Path(recipe.run) / "sketches" / "train"
    shutil.rmtree(sketches, ignore_errors=True)
    finished, num_pairs = [], 0
    shards = [("train", f"{i:05}") for i in range(num_shards)]
    for receipt in sketching(recipe, shards):
        finished.append(time.perf_counter())
        num_pairs = receipt.num_pairs
    first = recipe.sketch.workers
    return num_pairs * (num_shards - first) / (finished[-1] - finished[first - 1])


@contextmanager
def bergson_contender(
    python: str | None, settings: Settings, dtype: str
) -> Iterator[dict[str, Callable[[], int]]]:
    """{"bergson": a contender that runs it in a process of its own}; {} without it.

    python: path of a Python that has the library. Raises ValueError if it cannot start.
    """
    if python is None:
        print("bergson: skipped, no --bergson PYTHON")
        yield {}
        return
    arguments = (settings.shape, dtype, settings.num_pairs, settings.token_budget)
    command = [python, "-W", "ignore", str(_BERGSON), *map(str, arguments)]
    process = subprocess.Popen(
        [*command, str(torch.get_num_threads())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise ValueError(f"--bergson {python}: {_BERGSON} did not start")

    def contender() -> int:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        float(process.stdout.readline())  # type: ignore[union-attr]
        return settings.num_pairs

    yield {"bergson": contender}
    process.stdin.close()
    process.wait()


def show(dtype: str, rates: dict[str, Any]) -> None:
    """Print the contenders' rates with a model of this dtype, and their ratios."""
    table = Table("contender", "pairs/s", "range", title=dtype)
    for name, value in rates.items():
        if isinstance(value, dict) and "pairs_per_s" in value:
            low, high = value["pairs_per_s_range"]
            rate = value["pairs_per_s"]
            table.add_row(name, f"{rate:.3g}", f"{low:.3g} to {high:.3g}")
    console = Console(width=88)
    console.print(table)
    for name, value in rates.items():
        if isinstance(value, float):
            console.print(f"{name}: {value:.3g}", highlight=False)
    if "response_mode" in rates:
        ratio = rates["response_mode"]["response_over_comparison"]
        console.print(f"response mode over pair mode: {ratio:.3g}", highlight=False)
