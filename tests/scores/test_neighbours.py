"""Neighbours of training labels and the query labels they harm, against whole gradients
and their cosines."""

import numpy as np
import pytest
import torch

from inflib.numerics.layer_bins import Layer
from inflib.numerics.oporp import Oporp
from inflib.scores import neighbours
from inflib.scores.passes import Passes
from tests.support.known_store import (
    LAYERS,
    QUERY,
    TRAIN,
    K,
    build_store,
    gather,
    loss_grads,
)

ROWS, TOP = np.array([0, 1, 5, 11, 12, 20, 31]), 4


def comparisons():
    """Number of each training label's comparison, over all shards."""
    sizes = np.cumsum([0, *(len(s.margins) for s in TRAIN)])
    return np.concatenate(
        [np.array(s.rows) + n for s, n in zip(TRAIN, sizes, strict=False)]
    )


def unit(grads):
    return grads / grads.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("shards_per_task", [1, 2, 9])
def test_the_nearest_labels_have_the_largest_cosines_but_for_their_own_comparison(
    run, shards_per_task
):
    passes = Passes(run, shards_per_task)
    targets = passes.gradients(ROWS)
    found = passes.nearest(targets, LAYERS, TOP)
    grads = loss_grads(TRAIN)
    torch.testing.assert_close(
        targets.vectors.double(), grads[ROWS], rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(targets.norms, grads[ROWS].norm(dim=1))
    cosines, of = unit(grads) @ unit(grads).T, comparisons()
    for place, row in enumerate(ROWS):
        exact = torch.where(torch.tensor(of == of[row]), -2.0, cosines[row])
        expected = exact.topk(TOP)
        torch.testing.assert_close(
            found.cosines[place].double(), expected.values, rtol=0, atol=1e-5
        )
        near = found.labels[place].tolist()
        torch.testing.assert_close(exact[near], expected.values)
        assert row not in near


def test_where_few_labels_are_left_the_rest_is_empty(run):
    passes = Passes(run, 2)
    found = passes.nearest(passes.gradients(ROWS[:2]), LAYERS, 100)
    count = (found.labels >= 0).sum(1)
    of = comparisons()
    assert count.tolist() == [(of != of[row]).sum() for row in ROWS[:2]]
    assert (found.labels[:, -1] == -1).all()


@pytest.mark.parametrize("loss", ["bradley_terry", "margin"])
def test_harm_is_minus_the_inner_product_with_the_query_gradients(run, loss):
    passes = Passes(run, 2)
    found = passes.harm_of(passes.gradients(ROWS), "q", loss)
    sketches, _, signs = gather(QUERY)
    queries = (
        loss_grads(QUERY) if loss == "bradley_terry" else -signs[:, None] * sketches
    )
    grads = loss_grads(TRAIN)[ROWS]
    torch.testing.assert_close(found.products, -grads @ queries.T, rtol=1e-4, atol=1e-5)
    cosines = unit(grads) @ unit(queries).T
    torch.testing.assert_close(found.cosines, cosines, rtol=1e-4, atol=1e-5)


def test_labels_that_do_not_count_are_nobodys_neighbours(tmp_path):
    train = [*TRAIN]
    bad = train[1].sq_norms.clone()
    bad[2] = torch.nan
    train[1] = type(train[1])(**{**vars(train[1]), "sq_norms": bad})
    run = build_store(tmp_path, train)
    passes = Passes(run, 1)
    found = passes.nearest(passes.gradients(ROWS[:3]), LAYERS, 100)
    start = len(TRAIN[0].rows)
    hidden = {start + i for i, row in enumerate(TRAIN[1].rows) if row == 2}
    assert hidden and not hidden & set(found.labels.flatten().tolist())


def test_folding_adds_bins_within_a_layer(monkeypatch):
    monkeypatch.setattr(neighbours, "FOLDED", 14)
    rows = torch.randn(3, K)
    folded = torch.from_numpy(
        neighbours.fold(rows.numpy(), LAYERS)
    )  # 40 entries in thirds: 6 + 6 + 2
    widths = (6, 6, 2)
    assert folded.shape == (3, sum(widths))
    start = 0
    for layer, width in zip(LAYERS, widths, strict=True):
        padded = torch.zeros(3, 3 * width)
        padded[:, : layer.stop - layer.start] = rows[:, layer.bins]
        expected = padded.view(3, 3, width).sum(1)
        torch.testing.assert_close(folded[:, start : start + width], expected)
        start += width


def test_cosines_of_folded_sketches_have_the_stated_error(monkeypatch):
    monkeypatch.setattr(neighbours, "FOLDED", 64)
    size, seeds, generator = 20_000, 600, torch.Generator().manual_seed(1)
    x, noise = torch.randn(2, size, generator=generator)
    pair = torch.stack([x, 0.7 * x + 0.71 * noise])
    exact = float(torch.cosine_similarity(pair[0], pair[1], dim=0))
    found = []
    for seed in range(seeds):
        sketches = torch.zeros(2, 512)
        Oporp({"a": size}, 512, seed).add(sketches, "a", pair)
        layers = [Layer("all", size, 0, 512)]
        folded = neighbours.fold(sketches.numpy(), layers)
        assert folded.shape == (2, 64)
        x, y = neighbours.directions(folded)
        found.append(float(x @ y))
    error = (1 - exact**2) / 64**0.5
    assert abs(np.mean(found) - exact) < 4 * error / seeds**0.5 + exact * error**2
    # its own standard error is 1 / sqrt(2 seeds), 3%
    assert np.std(found) == pytest.approx(error, rel=4 * 0.03)
