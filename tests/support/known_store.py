"""A run with sketches of known gradients, and its scores."""

import numpy as np
import torch

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.config.score import ScoreConfig
from inflib.numerics.layer_bins import Layer
from inflib.scores.score_run import score_run
from inflib.storage.folder import Folder

K, Q = 40, 12  # entries of a sketch, comparisons of the query set
LAYERS = [Layer("l.0", 30, 0, 16), Layer("l.1", 90, 16, 34), Layer("head", 6, 34, 40)]
NUM_PARAMETERS = 126
SIZES = (7, 5, 9)  # comparisons of each training shard


def shard(seed, n):
    """n comparisons whose layers' gradients differ in size, every second one with two
    labels. The sketches are the gradients: norms are those of the sketches."""
    generator = torch.Generator().manual_seed(seed)
    sketches = torch.randn(n, K, generator=generator)
    sketches[:, LAYERS[0].bins] *= 3
    sketches[:, LAYERS[2].bins] *= 0.3
    sq_norms = [sketches[:, y.bins].double().square().sum(1) for y in LAYERS]
    margins = 1.5 * torch.randn(n, generator=generator)
    rows = sorted([*range(n), *range(0, n, 2)])
    signs = [1 if (3 * i + row) % 4 else -1 for i, row in enumerate(rows)]
    return Generated(sketches, margins, torch.stack(sq_norms, dim=1), signs, rows)


TRAIN = [shard(seed, n) for seed, n in enumerate(SIZES)]
QUERY = [shard(len(SIZES), Q)]


def gather(shards):
    """(margin gradients, margins, signs) of all labels, float64."""
    columns = [
        (s.sketches.double()[s.rows], s.margins.double()[s.rows], torch.tensor(s.signs))
        for s in shards
    ]
    return [torch.cat(column) for column in zip(*columns, strict=True)]


def loss_grads(shards):
    """Loss gradient of every label, float64."""
    s, margins, signs = gather(shards)
    return -(torch.sigmoid(-signs * margins) * signs)[:, None] * s


def build_store(folder, train, dtype="float32"):
    """A run with these training shards and the query set q."""
    run = Folder(str(folder))
    write_manifest(run, LAYERS)
    write_set(run, "train", train, dtype)
    write_set(run, "q", QUERY, dtype)
    return run


def score_config(*curvatures, **changes):
    return ScoreConfig(curvatures=curvatures, **{"tolerance": 1e-8, **changes})


def scored(run, config, edits=None):
    """(rows of scores in plan order, records by curvature)."""
    table, records = score_run(run, config, ["q"], edits)
    return table.to_pylist(), records


def column(rows, name):
    """The values of one column."""
    return np.array([row[name] for row in rows])
