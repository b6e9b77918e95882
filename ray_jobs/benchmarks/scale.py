"""The scale benchmark: prepare, sketch and score at two sizes, on disk and on S3.

Each run is a driver of its own, a process that runs this module; its memory and that of
all processes it starts is sampled.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import ray

from inflib.benchmarks.memory import peak_memory
from inflib.benchmarks.scale_inputs import write_inputs
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.session import run_stages, start_ray
from ray_jobs.sketch import sketch

STAGES = {"prepare": prepare, "sketch": sketch, "score": score}
FOLDERS = {"prepare": "pairs", "sketch": "sketches", "score": "influence"}
NUM_QUERIES = 200
_EXPORT = "1000"
"""Milliseconds between two exports of metrics by Ray."""


def scale_up(num_pairs: int, dtypes: list[str], stores: list[str]) -> dict[str, Any]:
    """A run for every store, dtype and size; sizes are num_pairs / 10 and num_pairs."""
    runs: list[dict[str, Any]] = []
    for store in stores:
        for dtype in dtypes:
            for size in (num_pairs // 10, num_pairs):
                run = _measure(store, dtype, size)
                print(json.dumps(run), flush=True)
                runs.append(run)
    return {"pairs": num_pairs, "runs": runs, "per_pair_time_ratio": _ratios(runs)}


def _measure(store: str, dtype: str, num_pairs: int) -> dict[str, Any]:
    """Costs of each stage, and peak memory, of one run in a driver of its own."""
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    bucket = f"scale-{uuid.uuid4().hex[:12]}"
    try:
        write_inputs(folder / "inputs", num_pairs, NUM_QUERIES)
        run = str(folder / "run")
        if store == "s3":
            from inflib.storage.s3 import PatientS3

            PatientS3().mkdir(bucket)
            run = f"s3://{bucket}/run"
        recipe = _recipe(folder, run, dtype)
        config = folder / "recipe.json"
        config.write_text(recipe.model_dump_json())
        out = folder / "out.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "ray_jobs.benchmarks.scale", str(config), str(out)],
            env=os.environ | {"RAY_metrics_report_interval_ms": _EXPORT},
            stdout=subprocess.DEVNULL,
        )
        with peak_memory(process.pid) as peaks:
            if process.wait():
                raise RuntimeError(f"the run at {num_pairs} pairs failed")
        stages = json.loads(out.read_text())
        return {
            "store": store,
            "dtype": dtype,
            "pairs": num_pairs,
            "stages": stages,
            "peak_memory": dict(sorted(peaks.items())),
        }
    finally:
        shutil.rmtree(folder)
        if store == "s3":
            PatientS3().rm(bucket, recursive=True)


def _recipe(folder: Path, run: str, dtype: str) -> Recipe:
    inputs = folder / "inputs"
    return Recipe.model_validate(
        {
            "run": run,
            "prepare": {
                "train": {"path": f"{inputs}/train-*.jsonl"},
                "queries": {"query": {"path": f"{inputs}/query.jsonl"}},
                "max_length": 128,
            },
            "model": {"base": f"{inputs}/base", "adapter": f"{inputs}/adapter"},
            "sketch": {"store_dtype": dtype, "workers": 2},
        }
    )


def _ratios(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Seconds per pair of the large run over those of the small one, by stage."""
    ratios = {}
    for small, large in zip(runs[::2], runs[1::2], strict=True):
        ratios[f"{large['store']} {large['dtype']}"] = {
            stage: round(
                large["stages"][stage]["working_seconds"]
                / large["pairs"]
                / (small["stages"][stage]["working_seconds"] / small["pairs"]),
                3,
            )
            for stage in STAGES
        }
    return ratios


def _requests() -> Counter[str]:
    """S3 requests so far, by "<stage> <operation>", from the nodes' metrics."""
    requests: Counter[str] = Counter()
    pattern = re.compile(r"ray_inflib_requests_total\{(.*)\} ([0-9.e+]+)")
    for node in ray.nodes():
        address = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
        text = urllib.request.urlopen(address, timeout=10).read().decode()
        for labels, value in pattern.findall(text):
            tags = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            requests[f"{tags['stage']} {tags['operation']}"] += int(float(value))
    return requests


def drive(recipe: Recipe) -> dict[str, Any]:
    """Run the stages in this process; seconds, bytes, files and S3 requests of each.

    working_seconds leaves out Ray's start and the time until the first worker is ready,
    which are the same at any size.
    """
    start_ray(recipe)
    costs = {}
    for name, stage in STAGES.items():
        started = time.time()
        run_stages(recipe, [stage])
        seconds = time.time() - started
        folder = Folder(recipe.run) / FOLDERS[name]
        time.sleep(2.5 * int(_EXPORT) / 1000)
        requests = _requests()
        costs[name] = {
            "seconds": round(seconds, 2),
            "working_seconds": round(seconds - _idle(name, started), 2),
            "bytes": folder.num_bytes(),
            "files": len(folder.tree()),
            "requests": {
                key.split()[1]: count
                for key, count in sorted(requests.items())
                if key.startswith(name)
            },
        }
    ray.shutdown()
    return costs


def _idle(stage: str, started: float) -> float:
    """Seconds from the start of a stage to that of its first work, by workers' logs.

    started: time of the stage's start, in seconds of the epoch.
    """
    context = ray.get_runtime_context()
    logs = Path(context.get_temp_dir()) / context.get_session_name() / "logs"
    events = [
        json.loads(line)
        for path in logs.glob(f"inflib-{stage}-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return min(
        datetime.fromisoformat(event["time"]).timestamp()
        - started
        - sum(event["seconds"].values())
        for event in events
        if "seconds" in event
    )


if __name__ == "__main__":
    recipe_path, out_path = sys.argv[1:]
    run_recipe = Recipe.model_validate_json(Path(recipe_path).read_text())
    Path(out_path).write_text(json.dumps(drive(run_recipe)))
