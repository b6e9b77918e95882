"""Benchmarks: ratios between things run side by side in one call.

python -m ray_jobs.benchmark gradients --json FILE [--repeats 3] [--threads 2]
    [--shape llama-31m] [--pairs 48] [--dtypes float32,bfloat16] [--bergson PYTHON]
python -m ray_jobs.benchmark scale --json FILE [--pairs 100000]
    [--dtypes int8,float16] [--stores local,s3]
python -m ray_jobs.benchmark scoring --json FILE [--pairs 100000] [--k 65536]
    [--dtype int8] [--queries 8] [--groups 1] [--repeats 3] [--folder DIR]
    [--curvatures datainf,identity,gauss_newton]
python -m ray_jobs.benchmark fidelity --json FILE --run RUN [--labels 800]
    [--query NAME] [--k 65536,16384,4096] [--dtypes float32,float16,int8]
    [--damping 0.01] [--seeds 20] [--truth COLUMN]

gradients: pairs per second of the gradient pass (ours), of a training step's forward
and backward on the same pairs, and of other ways to get per-pair gradients; of single
responses against comparisons; of one and two Ray workers against a bare loop.
--bergson: Python of an environment with the peer library bergson, to compare with.
scale: seconds, bytes, S3 requests and peak memory of prepare, sketch and score at
pairs / 10 and at pairs, with a tiny model, K = 65,536 and two workers; s3 needs
AWS_ENDPOINT_URL and its credentials (scripts/s3_server.sh start).
scoring: seconds of scoring generated sketches on disk with two workers, and of two
plain sequential reads of the same files; errors against float64. --groups: query groups
(standard errors); --folder: where the sketches are put.
fidelity: scores from sketches against scores from whole gradients of a trained run's
model, for every K, dtype and curvature; coverage of intervals over draws of the sketch.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
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

from inflib.benchmarks.gradients import (
    Settings,
    describe,
    errors,
    response_mode,
    speeds,
)
from inflib.benchmarks.run_folder import write_run
from inflib.config.cli import options
from inflib.config.recipe import Recipe
from inflib.sketches.shard_sketcher import Receipt, ShardSketcher
from ray_jobs.benchmarks.fidelity import fidelity
from ray_jobs.benchmarks.scale import scale
from ray_jobs.benchmarks.scoring_speed import scoring_speed
from ray_jobs.shared.session import QUIET, exit_on_bad_input
from ray_jobs.sketch import compute_shards

_BERGSON = Path(__file__).parent.parent / "scripts" / "bergson_contender.py"
_SHORT = {"bfloat16": "bf16", "float32": "fp32"}
_OPTIONS = {
    "gradients": {"json", "repeats", "threads", "shape", "pairs", "dtypes", "bergson"},
    "scale": {"json", "pairs", "dtypes", "stores"},
    "scoring": {
        *("json", "pairs", "k", "dtype", "queries", "groups", "repeats", "folder"),
        "curvatures",
    },
    "fidelity": {
        *("json", "run", "labels", "query", "k", "dtypes", "damping", "seeds"),
        "truth",
    },
}


Run = Callable[[Recipe, list[tuple[str, str]]], Iterator[Receipt]]


@exit_on_bad_input
def main(arguments: list[str]) -> None:
    """Run the benchmark that the arguments name."""
    if not arguments or "--help" in arguments:
        print(__doc__)
        return
    name, given = arguments[0], options(arguments[1:])
    known = _OPTIONS.get(name, set())
    if "json" not in given or not given.keys() <= known:
        raise ValueError(f"usage:\n{__doc__}")
    os.environ.update(QUIET)
    measure = {
        "gradients": gradients,
        "scale": scale,
        "scoring": scoring_speed,
        "fidelity": fidelity,
    }
    found = measure[name](given)
    Path(given["json"]).write_text(json.dumps(found, indent=1) + "\n")


def gradients(given: dict[str, str]) -> dict[str, Any]:
    """Figures of the gradient pass."""
    torch.set_num_threads(int(given.get("threads", 2)))
    settings = Settings(
        shape=given.get("shape", Settings.shape),
        num_pairs=int(given.get("pairs", Settings.num_pairs)),
        repeats=int(given.get("repeats", Settings.repeats)),
    )
    dtypes = given.get("dtypes", "float32,bfloat16").split(",")
    found: dict[str, Any] = describe(settings) | errors(settings)
    for dtype in dtypes:
        with bergson(given.get("bergson"), settings, dtype) as peers:
            figures = speeds(settings, getattr(torch, dtype), peers)
        figures["response_mode"] = response_mode(settings, getattr(torch, dtype))
        show(dtype, figures)
        found |= figures if dtype == dtypes[0] else {_SHORT[dtype]: figures}
    found["orchestration"] = orchestration(settings)
    for key in ("orchestration", "max_rel_err_float64", "max_rel_err_float32"):
        print(f"{key}: {found[key]}")
    return found


def orchestration(settings: Settings, num_shards: int = 9) -> dict[str, Any]:
    """Pairs per second of a bare loop over shards, of one and of two Ray workers, one
    thread each; start-up left out: every worker's first shard is not counted."""
    rates: dict[str, list[float]] = {}
    pairs = settings.num_pairs // num_shards * num_shards
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    one = write_run(folder, settings.shape, pairs, num_shards, workers=1)
    two_workers = one.sketch.model_copy(update={"workers": 2})
    two = one.model_copy(update={"sketch": two_workers})
    runs: dict[str, tuple[Recipe, Run]] = {
        "bare_loop": (one, _bare_loop),
        "one_worker": (one, compute_shards),
        "two_workers": (two, compute_shards),
    }
    for _ in range(settings.repeats):
        for name, (recipe, run) in runs.items():
            rates.setdefault(name, []).append(_rate(recipe, num_shards, run))
    ray.shutdown()
    shutil.rmtree(folder)
    found: dict[str, Any] = {
        name: {"pairs_per_s": statistics.median(each), "repeats": each}
        for name, each in rates.items()
    }
    for over, under in (("one_worker", "bare_loop"), ("two_workers", "one_worker")):
        ratios = [a / b for a, b in zip(rates[over], rates[under], strict=True)]
        found[f"{over}_over_{under}"] = statistics.median(ratios)
    return found


def _bare_loop(recipe: Recipe, todo: list[tuple[str, str]]) -> Iterator[Receipt]:
    sketcher = ShardSketcher(recipe)
    return (sketcher(pairs, shard) for pairs, shard in todo)


def _rate(recipe: Recipe, num_shards: int, run: Run) -> float:
    sketches = Path(recipe.run) / "sketches" / "train"
    shutil.rmtree(sketches, ignore_errors=True)
    finished, num_pairs = [], 0
    for receipt in run(recipe, [("train", f"{i:05}") for i in range(num_shards)]):
        finished.append(time.perf_counter())
        num_pairs = receipt.num_pairs
    first = recipe.sketch.workers
    return num_pairs * (num_shards - first) / (finished[-1] - finished[first - 1])


@contextmanager
def bergson(
    python: str | None, settings: Settings, dtype: str
) -> Iterator[dict[str, Callable[[], int]]]:
    """The peer library as a contender, in a process of its own; none without it."""
    if python is None:
        print("bergson: skipped, no --bergson PYTHON")
        yield {}
        return
    fields = (settings.shape, dtype, settings.num_pairs, settings.token_budget)
    command = [python, "-W", "ignore", str(_BERGSON), *map(str, fields)]
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


def show(dtype: str, figures: dict[str, Any]) -> None:
    """Print a dtype's table and ratios."""
    table = Table("contender", "pairs/s", "range", title=dtype)
    for name, figure in figures.items():
        if isinstance(figure, dict) and "pairs_per_s" in figure:
            low, high = figure["pairs_per_s_range"]
            rate = figure["pairs_per_s"]
            table.add_row(name, f"{rate:.3g}", f"{low:.3g} to {high:.3g}")
    console = Console(width=88)
    console.print(table)
    for name, figure in figures.items():
        if isinstance(figure, float):
            console.print(f"{name}: {figure:.3g}", highlight=False)
    ratio = figures["response_mode"]["response_over_comparison"]
    console.print(f"response mode over pair mode: {ratio:.3g}", highlight=False)


_BENCHMARKS: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "gradients": gradients,
    "scale": scale,
    "scoring": scoring_speed,
    "fidelity": fidelity,
}


if __name__ == "__main__":
    main(sys.argv[1:])
