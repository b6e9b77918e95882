"""Passes as Ray tasks: the bits that this process gets."""

import numpy as np
import pytest
import torch

from inflib.scores.executor import FAN_IN
from inflib.scores.passes import Passes
from inflib.scores.sketch_set import SketchSet
from ray_jobs.shared.score_tasks import RayTasks
from tests.support.known_store import LAYERS, K, build_store, shard

SHARDS = FAN_IN + 3  # more than are added at once
VECTORS = torch.randn(K, 3, dtype=torch.float64, generator=torch.Generator())


def test_sums_and_rows_have_the_same_bits_as_in_one_process(ray_session, tmp_path):
    run = build_store(tmp_path, [shard(seed, 4) for seed in range(SHARDS)])
    tasks = RayTasks()
    here, there = Passes(run, 1), Passes(run, 1, executor=tasks, version="v")
    assert torch.equal(here.alignments(VECTORS), there.alignments(VECTORS))
    expected = here.products("gauss_newton", VECTORS, [])
    assert torch.equal(there.products("gauss_newton", VECTORS, []), expected)
    assert here.moments().num_labels == there.moments().num_labels
    assert tasks.done == tasks.submitted == 3 * SHARDS
    serial = torch.zeros(0)
    for part in here.plan:  # another order of adding: equal up to rounding alone
        alone = Passes(run, 1)
        alone.plan = [part]
        product = alone.products("gauss_newton", VECTORS, [])
        serial = product if not len(serial) else serial + product
    torch.testing.assert_close(serial, expected, rtol=1e-12, atol=1e-9)


def test_what_a_task_raises_is_raised_here(ray_session, tmp_path):
    run = build_store(tmp_path, [shard(seed, 4) for seed in range(SHARDS)])
    train = SketchSet(run, "train")
    payload = next(n for n in train._sketches.names() if n.endswith(".npy"))
    train._sketches.write(payload, b"damaged")
    passes = Passes(run, 1, executor=RayTasks())
    with pytest.raises(ValueError, match="does not match its commit record"):
        passes.products("gauss_newton", VECTORS, [])


def test_neighbours_are_those_of_one_process(ray_session, tmp_path):
    run = build_store(tmp_path, [shard(seed, 4) for seed in range(SHARDS)])
    here, there = Passes(run, 2), Passes(run, 2, executor=RayTasks())
    rows = np.array([0, 3, 7, 30])
    ours, theirs = here.gradients(rows), there.gradients(rows)
    for mine, its in zip(vars(ours).values(), vars(theirs).values(), strict=True):
        assert torch.equal(mine, its)
    found, expected = (p.nearest(ours, LAYERS, 3) for p in (there, here))
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.cosines, expected.cosines)
    harms = [p.harm_of(ours, "q", "margin").products for p in (here, there)]
    torch.testing.assert_close(*harms)
