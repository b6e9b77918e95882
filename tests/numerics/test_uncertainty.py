"""Standard errors against the spread over sketches and query sets; discoveries."""

import numpy as np
import pytest
import torch
from scipy import stats

from inflib.numerics.layer_bins import lay_out
from inflib.numerics.oporp import Oporp
from inflib.numerics.uncertainty import (
    discoveries,
    query_freedom,
    query_variance,
    sketch_variance,
)

SIZES = {"m.0.a": 3000, "m.1.a": 3000, "head": 30}
K, SEEDS = 600, 300
ONE = torch.ones(1)


def test_the_sketch_variance_is_that_over_seeds():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, 6030, generator=generator)
    vectors[1] += 0.5 * vectors[0]
    vectors[:, :3000] *= 4
    for by_layer in (False, True):
        layers = lay_out(SIZES, K, by_layer)
        products, variances = [], []
        blocks = dict(zip(SIZES, vectors.split([3000, 3000, 30], dim=1), strict=True))
        for seed in range(SEEDS):
            oporp = Oporp(SIZES, K, seed, by_layer=by_layer)
            s, v = sketches = torch.zeros(2, K)
            for name, grads in blocks.items():
                oporp.add(sketches, name, grads)
            aligned = torch.stack([(s * v)[y.bins].sum() for y in layers]).double()
            squares = [blocks[name][0].square().sum() for name in SIZES]
            norms = torch.stack(
                [sum(squares)] if not by_layer else [squares[2], *squares[:2]]
            )
            products.append(float(aligned.sum()))
            variance = sketch_variance(
                norms[None].double(), v.double(), aligned[:, None], layers, ONE
            )
            variances.append(float(variance))
        # A sample variance has relative standard error sqrt(2 / n).
        ratio = np.mean(variances) / np.var(products)
        assert abs(ratio - 1) < 4 * (2 / SEEDS) ** 0.5


def test_part_of_the_error_cancels_where_the_curvature_has_the_same_sketch():
    n, d, k, lam = 60, 4000, 400, 0.02
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(5, d, generator=generator)
    whole = torch.randn(n + 2, 5, generator=generator) @ common
    whole += torch.randn(n + 2, d, generator=generator)
    whole /= whole.norm(dim=1, keepdim=True)
    layers = lay_out({"m": d}, k, False)
    products, variances, variances_unscaled = [], [], []
    for seed in range(SEEDS):
        sketches = torch.zeros(n + 2, k)
        Oporp({"m": d}, k, seed).add(sketches, "m", whole)
        rows, s, v = sketches[:n].double(), sketches[n].double(), sketches[-1].double()
        matrix = rows.T @ rows / n + lam * torch.eye(k, dtype=torch.float64)
        ihvp = torch.linalg.solve(matrix, v)
        scale = lam * torch.linalg.solve(matrix, s).norm()[None] / s.norm()
        products.append(float(s @ ihvp))
        label = torch.ones(1, 1).double(), ihvp, (s @ ihvp)[None, None], layers
        variances.append(float(sketch_variance(*label, scale)))
        variances_unscaled.append(float(sketch_variance(*label, ONE)))
    # The spread of SEEDS draws has relative standard error sqrt(1 / (2 SEEDS)).
    bound = 4 * (1 / (2 * SEEDS)) ** 0.5
    assert abs((np.mean(variances) / np.var(products)) ** 0.5 - 1) < bound
    assert (np.mean(variances_unscaled) / np.var(products)) ** 0.5 > 1 + bound


UNEQUAL = [10, 70, 40, 40, 60, 20, 40, 40, 30, 50]
HEAVY = [400, 200, 100, 50, 25, 12, 6, 3, 2, 1]


@pytest.mark.parametrize("sizes", [[40] * 10, UNEQUAL, [400, *[40] * 9], HEAVY, [5, 1]])
@pytest.mark.parametrize("alike", [0.0, 0.2, 1.0])
def test_t_intervals_by_the_query_variance_cover_the_mean(sizes, alike):
    """alike: share of a label's variance that is common to its query group."""
    rng = np.random.default_rng(0)
    counts, trials = np.array(sizes, dtype=float), 4000
    shares = counts / counts.sum()
    spread = np.sqrt(alike + (1 - alike) / counts)
    aligned = rng.normal(size=(trials, len(sizes))) * spread * shares
    variances = query_variance(torch.from_numpy(aligned), torch.from_numpy(shares))
    statistics = np.abs(aligned.sum(1)) / variances.sqrt().numpy()
    freedom = query_freedom(shares)
    covered = (statistics < stats.t.ppf(0.975, freedom)).mean()
    if len(set(sizes)) == 1:
        assert freedom == pytest.approx(len(sizes) - 1)
        assert abs(covered - 0.95) < 4 * (0.95 * 0.05 / trials) ** 0.5
    else:  # Student's t is exact for equal query groups alone
        assert freedom <= len(sizes) - 1 + 1e-9
        assert 0.93 < covered < 0.98


def test_with_two_filled_query_groups_discoveries_are_rare_where_there_are_none():
    """With query_groups - 1 degrees of freedom, 58% of such data sets have some."""
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0, 0, 0.5, *[0] * 6])
    freedom = query_freedom(shares)
    found = []
    for _ in range(400):
        aligned = rng.normal(size=(3, 10)) * shares
        errors = query_variance(torch.from_numpy(aligned), torch.from_numpy(shares))
        scores = aligned.sum(1)
        found.append(discoveries(scores, errors.sqrt().numpy(), 0.1, freedom).any())
    assert np.mean(found) < 0.1 + 4 * (0.1 * 0.9 / 400) ** 0.5


def test_a_single_query_group_gives_no_query_variance():
    shares = torch.tensor([1.0, 0, 0]).double()
    assert query_variance(torch.ones(4, 3).double(), shares).tolist() == [0.0] * 4
    assert query_freedom(shares.numpy()) == 0


def test_discoveries_keep_the_false_discovery_rate():
    rng = np.random.default_rng(0)
    false_shares = []
    for _ in range(200):
        scores = rng.standard_t(9, size=300)
        scores[:60] += 6
        discovered = discoveries(scores, np.ones(300), 0.1, 9.0)
        false_shares.append(discovered[60:].sum() / max(1, discovered.sum()))
    # Benjamini & Hochberg's rate is the level times the share of true hypotheses.
    error = np.std(false_shares) / 200**0.5
    assert abs(np.mean(false_shares) - 0.1 * 240 / 300) < 4 * error


def test_what_has_no_score_or_no_error_is_no_discovery():
    scores = np.array([np.nan, 50.0, 50.0, 0.0])
    errors = np.array([1.0, 0.0, 1.0, 1.0])
    assert discoveries(scores, errors, 0.1, 9.0).tolist() == [False, False, True, False]
    assert not discoveries(scores[:1], errors[:1], 0.1, 9.0).any()
