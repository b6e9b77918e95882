"""A store of known gradients, and its scores."""

import numpy as np
import torch

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.config.score import ScoreConfig
from inflib.numerics.layer_bins import Layer
from inflib.scores.score_run import score_run
from inflib.storage.folder import Folder

K, Q = 40, 12


LAYERS = [Layer("l.0", 30, 0, 16), Layer("l.1", 90, 16, 34), Layer("head", 6, 34, 40)]


NUM_PARAMETERS = 126


SIZES = (7, 5, 9)  # comparisons of each shard


GENERATOR = torch.Generator().manual_seed(1)


def comparisons(n):
    """Sketches whose layers differ in size; norms are those of the sketches."""
    sketches = torch.randn(n, K, generator=GENERATOR)
    sketches[:, LAYERS[0].bins] *= 3
    sketches[:, LAYERS[2].bins] *= 0.3
    norms = [sketches[:, y.bins].double().square().sum(1) for y in LAYERS]
    margins = 1.5 * torch.randn(n, generator=GENERATOR)
    return sketches, margins, torch.stack(norms, dim=1)


def shard(n, labels_per=2):
    sketches, margins, norms = comparisons(n)
    rows = sorted([*range(n), *range(0, n, labels_per)])
    signs = [1 if (3 * i + row) % 4 else -1 for i, row in enumerate(rows)]
    return Generated(sketches, margins, norms, signs, rows)


TRAIN, QUERY = [shard(n) for n in SIZES], [shard(Q)]


def gather(shards):
    """(s, margins, signs) of all labels, float64."""
    parts = [
        (s.sketches.double()[s.rows], s.margins.double()[s.rows], torch.tensor(s.signs))
        for s in shards
    ]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def loss_grads(shards):
    s, margins, signs = gather(shards)
    return -(torch.sigmoid(-signs * margins) * signs)[:, None] * s


def build_store(folder, train, dtype="float32"):
    run = Folder(str(folder))
    write_manifest(run, LAYERS)
    write_set(run, "train", train, dtype)
    write_set(run, "q", QUERY, dtype)
    return run


def score_config(*curvatures, **changes):
    return ScoreConfig(curvatures=curvatures, **{"tolerance": 1e-8, **changes})


def scored(run, asked, edits=None):
    """(rows of scores in plan order, records by curvature)."""
    table, records = score_run(run, asked, ["q"], edits)
    return table.to_pylist(), records


def column(rows, name):
    return np.array([row[name] for row in rows])
