"""Tasks over the sketches of some shards, which the reducer of ray_jobs/score.py
submits. They are stateless: what they leave is a partial, under the name given."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import ray
import torch

from inflib import scoring
from inflib.assembling import assemble as assemble_scores
from inflib.events import event
from inflib.folder import Folder
from inflib.pairs_folder import Shard
from inflib.progress import Clock
from ray_jobs.observe import observe, watched


@ray.remote
def moments(run: Folder, pairs: str, shards: list[Shard]) -> tuple[int, float]:
    """(usable labels, sum of |g|^2) of the shards."""
    return scoring.moments(run, pairs, shards)


@ray.remote
def query_sums(
    run: Folder, pairs: str, shards: list[Shard], target: Folder, name: str
) -> None:
    """Leave the sum of the sketches of labels [k]."""
    with _pass("sum queries", pairs, shards):
        scoring.write_array(target, name, scoring.query_sums(run, pairs, shards))


@ray.remote
def datainf_sums(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    target: Folder,
    name: str,
    vectors: np.ndarray,
    lam: float,
) -> None:
    """Leave the shards' share of the DataInf terms of each vector [k, queries]."""
    with _pass("sum DataInf terms", pairs, shards):
        sums = scoring.datainf_sums(run, pairs, shards, vectors.copy(), lam)
        scoring.write_array(target, name, sums)


@ray.remote
def score_shard(
    run: Folder,
    shard: Shard,
    target: Folder,
    name: str,
    ihvps: np.ndarray,
    columns: list[str],
) -> None:
    """Leave the scores of a shard's labels."""
    with _pass("score", "train", [shard]):
        table: pa.Table = scoring.score_shard(
            run, "train", shard, ihvps.copy(), columns
        )
        target.write_table(name, table)


@contextmanager
def _pass(phase: str, pairs: str, shards: list[Shard]) -> Iterator[None]:
    """What every task over sketches shares: one thread, since more threads round
    otherwise, and what is said of it."""
    observe("score")
    torch.set_num_threads(1)
    clock, name = Clock(), f"{pairs}/{shards[0].name} to {shards[-1].name}"
    with watched(f"{phase}, {name}"):
        yield
    clock.lap(phase)
    num_pairs = sum(shard.num_comparisons for shard in shards)
    event(f"{phase}, {name}", shard=name, pairs=num_pairs, seconds=clock.laps)


@ray.remote
def assemble(run: Folder, parts: list[str], columns: list[str]) -> tuple[int, str]:
    """Scores of all parts to influence.parquet: (labels, digest)."""
    return assemble_scores(run / "influence", parts, columns)
