"""The scoring benchmark's store, the time to just read it, and exact scores of it.

k  entries of a sketch     q  query sets
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.data.pairs_folder import Shard
from inflib.numerics import curvature
from inflib.numerics.layer_bins import Layer
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder

NUM_PARAMETERS = 41_943_040
"""Parameters of the adapter that the sketches stand for: Llama-3-8B's with r = 16."""

_SHARD, _DIRECTIONS = 1024, 20


def write_store(
    run: Folder, num_pairs: int, sketch_size: int, dtype: str, num_queries: int
) -> None:
    """Write training sketches and `num_queries` query sets of 64 labels.

    Sketches share a few directions, and norms spread over two orders of magnitude.
    """
    generate = sketch_generator(sketch_size)
    write_manifest(run, one_layer(sketch_size))
    write_set(run, "train", map(generate, shard_sizes(num_pairs)), dtype)
    for i in range(num_queries):
        write_set(run, f"query_{i}", [generate(64)], dtype)


def one_layer(sketch_size: int) -> list[Layer]:
    """The layers of the manifest: one."""
    return [Layer("all", NUM_PARAMETERS, 0, sketch_size)]


def shard_sizes(num_pairs: int) -> Iterator[int]:
    """How many pairs each shard has."""
    for start in range(0, num_pairs, _SHARD):
        yield min(_SHARD, num_pairs - start)


def sketch_generator(sketch_size: int) -> Callable[[int], Generated]:
    """Makes shards of so many comparisons, the same ones in every run."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(_DIRECTIONS, sketch_size, generator=generator)

    def generate(num_rows: int) -> Generated:
        noise = torch.empty(num_rows, sketch_size).normal_(generator=generator)
        mixture = torch.randn(num_rows, _DIRECTIONS, generator=generator)
        sizes = torch.randn(num_rows, 1, generator=generator).exp()
        sketches = sizes * noise.addmm_(mixture, common, alpha=0.3)
        margins = 2 * torch.randn(num_rows, generator=generator) + 1
        squares = sketches.square().sum(1, keepdim=True)
        return Generated(sketches, margins, squares, [1] * num_rows)

    return generate


def read_floor(run: Folder) -> tuple[float, float]:
    """Seconds in which one process reads all training payloads twice in sequence.

    (each file into a new array, all files into one buffer)
    """
    files = sorted((Path(run.url) / "sketches" / "train").glob("*.npy"))
    buffer = memoryview(bytearray(max(file.stat().st_size for file in files)))
    started = time.perf_counter()
    for path in 2 * files:
        np.fromfile(path, np.int8)
    middle = time.perf_counter()
    for path in 2 * files:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return middle - started, time.perf_counter() - middle


def exact_datainf(
    run: Folder, vectors: Float[Tensor, "k q"], lam: float, sample: int
) -> tuple[np.ndarray, Float[Tensor, "_ q"]]:
    """(indices in plan order, influences) of `sample` evenly spaced labels, by DataInf.

    vectors: query gradients' sketches. lam: lambda. float64 from the stored bytes on.
    """
    train = SketchSet(run, "train")
    plan = train.plan()
    sums, num_labels = torch.zeros_like(vectors), 0
    for shard in plan:
        labels = train.labels(shard)
        squares = labels.derivatives.square()
        norms = labels.sq_norms.sum(1)
        coefficients = labels.by_comparison(squares / (lam + squares * norms))
        for rows, sketches in _sketches(train, shard, labels):
            sums += sketches.T @ (coefficients[rows, None] * (sketches @ vectors))
        num_labels += len(labels.signs)
    ihvps = curvature.datainf_ihvp(vectors, sums, num_labels, lam)
    indices = np.linspace(0, num_labels - 1, sample).astype(int)
    scores, start = [], 0
    for shard in plan:
        in_shard = (indices >= start) & (indices < start + shard.num_labels)
        chosen = indices[in_shard] - start
        if len(chosen):
            labels = train.labels(shard)
            products = [
                sketches @ ihvps for _, sketches in _sketches(train, shard, labels)
            ]
            aligned = torch.cat(products)[labels.rows]
            scores.append((-labels.derivatives[:, None] * aligned)[chosen])
        start += shard.num_labels
    return indices, torch.cat(scores)


def _sketches(
    train: SketchSet, shard: Shard, labels: Labels
) -> Iterator[tuple[slice, Float[Tensor, "_ k"]]]:
    """(comparisons of the shard, their sketches in float64), 128 at a time."""
    entries, scales = train.payload(shard, labels)
    for start in range(0, len(entries), 128):
        rows = slice(start, start + 128)
        values = torch.from_numpy(entries[rows].astype(np.float64))
        yield rows, values * scales[rows, None].double()
