"""Rank correlations are scipy's; intervals of linear datamodeling scores cover."""

import numpy as np
from scipy.stats import linregress, spearmanr

from inflib.numerics.subset_agreement import (
    datamodeling_scores,
    rank_correlations,
    slope,
)


def test_rank_correlations_are_scipys_with_ties_and_constants():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 12, 6)).astype(float)
    a[:, 2] = 1
    expected = [spearmanr(a[:, j], b[:, j]).statistic for j in (0, 1, 3, 4, 5)]
    found = rank_correlations(a, b)
    np.testing.assert_allclose(np.delete(found, 2), expected)
    assert found[2] == 0


def simulated(rng, m, sizes):
    """A good and a weak estimator of noisy outcomes, correlated within clusters of very
    unequal sizes."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    shared, own = rng.normal(size=(m, len(sizes))), rng.normal(size=(m, len(clusters)))
    truth = shared[:, clusters] + 0.5 * own
    noise = rng.normal(size=(3, m, len(clusters)))
    predicted = {"good": truth + noise[0], "weak": truth + 3 * noise[1]}
    return predicted, truth + noise[2], clusters


def test_intervals_cover_the_score_of_many_retrainings():
    rng = np.random.default_rng(1)
    sizes = [20, *[1] * 12]
    predicted, actual, clusters = simulated(rng, 4000, [400, *[1] * 240])
    true = {}
    weights = np.where(clusters == 0, 20 / 400, 12 / 240)  # of the sizes drawn below
    for name, values in predicted.items():
        true[name] = np.average(rank_correlations(values, actual), weights=weights)
    covered = {"good": 0, "difference": 0}
    repeats = 40
    for _ in range(repeats):
        predicted, actual, clusters = simulated(rng, 24, sizes)
        scores = datamodeling_scores(predicted, actual, clusters, "weak", 100)
        good = scores["good"]
        covered["good"] += good["low"] <= true["good"] <= good["high"]
        gap = true["good"] - true["weak"]
        covered["difference"] += (
            good["difference_low"] <= gap <= good["difference_high"]
        )
    assert covered["good"] >= 0.85 * repeats
    assert covered["difference"] >= 0.85 * repeats


def test_slope_is_that_of_a_regression():
    rng = np.random.default_rng(2)
    x = rng.normal(size=9)
    y = 0.8 * x + rng.normal(size=9)
    found, expected = slope(x, y), linregress(x, y)
    np.testing.assert_allclose(found["slope"], expected.slope)
    np.testing.assert_allclose(found["error"], expected.stderr)
    assert slope(np.ones(4), x[:4])["error"] == float("inf")
