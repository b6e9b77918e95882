"""The scoring benchmark: passes over made-up sketches against reading their files."""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from inflib.benchmarks.memory import peak_memory
from inflib.benchmarks.scoring_store import exact_datainf, read_floor, write_store
from inflib.config.recipe import Recipe
from inflib.config.score import ScoreConfig
from inflib.scores.passes import Passes
from inflib.scores.query_vectors import QueryVectors, read_queries
from inflib.scores.solver import Solver
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder
from ray_jobs.shared.score_tasks import RayTasks
from ray_jobs.shared.session import start_ray

_SAMPLE = 500
"""Labels whose scores are compared with float64."""

_WORKERS = 2


def scoring_speed(
    pairs: int,
    k: int,
    dtype: str,
    queries: int,
    groups: int,
    repeats: int,
    folder: str | None,
    exact_terms: int,
    curvatures: list[str],
) -> dict[str, Any]:
    """Seconds of every curvature, and of two plain reads of the same files.

    Timed from query vectors to the last label's scores, all in turn, `repeats` times.
    pairs: training labels; queries: query sets; groups: query groups of each; folder:
    where the sketches are put (None: the system's folder for temporary files);
    exact_terms: score.exact_terms.
    """
    scratch = Path(tempfile.mkdtemp(prefix="scoring-", dir=folder))
    try:
        run = Folder(str(scratch / "run"))
        write_store(run, pairs, k, dtype, queries)
        start_ray(_recipe(run.url))
        with peak_memory(os.getpid()) as peaks:
            results = _measure(run, curvatures, groups, queries, repeats, exact_terms)
        ray.shutdown()
    finally:
        shutil.rmtree(scratch)
    worker = peaks["other workers"]
    return {
        "pairs": pairs,
        "k": k,
        "dtype": dtype,
        "queries": queries,
        "query_groups": groups,
        "exact_terms": exact_terms,
        "workers": _WORKERS,
        **results,
        "peak_rss_gib": worker["rss_gib"],
        "peak_memory": dict(sorted(peaks.items())),
    }


def _recipe(run: str) -> Recipe:
    """A recipe that says how many CPUs Ray gets; the rest of it is not used."""
    fields: dict[str, Any] = {"run": run, "model": {"base": "none"}}
    fields["prepare"] = {"train": {"path": "-"}, "queries": {"q": {"path": "-"}}}
    fields["cluster"] = {"num_cpus": _WORKERS}
    return Recipe.model_validate(fields)


def _measure(
    run: Folder,
    kinds: list[str],
    groups: int,
    num_queries: int,
    repeats: int,
    exact_terms: int,
) -> dict[str, Any]:
    """Seconds of the plain reads; of each curvature, its times and ratios to them."""
    fields: dict[str, Any] = {
        "curvatures": kinds,
        "query_groups": groups,
        "exact_terms": exact_terms,
    }
    if groups == 1:
        fields["damping"] = 1e-3
    config = ScoreConfig.model_validate(fields)
    passes = Passes(run, config.shards_per_task, executor=RayTasks())
    solver = Solver(config, read_layers(run), passes)
    names = [f"query_{i}" for i in range(num_queries)]
    queries = read_queries(config, names, passes)
    num_labels = sum(shard.num_labels for shard in passes.plan)
    floors: list[tuple[float, float]] = []
    timings: dict[str, Any] = {kind: {"repeats": [], "ratios": []} for kind in kinds}
    for repeat in range(repeats):
        for kind in config.curvatures:
            solver = Solver(config, read_layers(run), passes)  # which holds no result
            floor, buffered = read_floor(run)
            started = time.perf_counter()
            columns, record = solver.solve_kind(kind, queries)
            solved = time.perf_counter()
            passes.score(run / "scores" / kind, f"repeat-{repeat}", columns)
            done = time.perf_counter()
            floors.append((floor, buffered))
            timing = timings[kind]
            timing["repeats"].append(round(done - started, 3))
            timing["ratios"].append(round((done - started) / floor, 3))
            timing["scores_seconds"] = round(done - solved, 3)
            if record.steps is not None:
                timing["steps"] = record.steps
                step = (solved - started) / record.steps
                timing["seconds_per_pass"] = round(step, 3)
                timing["us_per_label_and_step"] = round(1e6 * step / num_labels, 2)
            else:
                timing["pass_seconds"] = round(solved - started, 3)
    for timing in timings.values():
        timing["seconds"] = statistics.median(timing["repeats"])
        timing["ratio_to_floor"] = statistics.median(timing["ratios"])
        timing["us_per_label_scored"] = round(
            1e6 * timing["scores_seconds"] / num_labels, 2
        )
    if "datainf" in kinds:
        files = [
            name for name in (run / "scores/datainf").names() if "repeat-0" in name
        ]
        timings["datainf"]["max_rel_err"] = _error(run, queries, solver, sorted(files))
    plain, buffered = (statistics.median(reads) for reads in zip(*floors, strict=True))
    return {
        "damping": list(config.sweep),
        "query_columns": num_queries * groups,
        "read_floor_seconds": plain,
        "read_floor_seconds_one_buffer": buffered,
        "curvatures": timings,
    }


def _error(
    run: Folder, queries: QueryVectors, solver: Solver, files: list[str]
) -> float:
    """Largest error of DataInf's scores on a sample of labels, over the largest score.

    files: those with the scores of all labels, in the order of labels.
    """
    (layer,), train = solver.layers, solver.train
    lam = solver.config.datainf_damping * float(train.squares.sum()) / train.num_labels
    vectors = queries.vectors.sum(2).T.contiguous()
    places, exact = exact_datainf(run, vectors, lam / layer.num_parameters, _SAMPLE)
    tables = [(run / "scores/datainf").read_table(name) for name in files]
    columns = [f"influence_datainf_{name}" for name in queries.names]
    scores = np.stack(
        [np.concatenate([t[column].to_numpy() for t in tables]) for column in columns],
        1,
    )
    error = torch.from_numpy(scores[places]) - exact
    return float((error.abs().amax(0) / exact.abs().amax(0)).max())
