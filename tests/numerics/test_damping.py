"""The reliability that a damping is chosen by."""

import numpy as np
import pytest

from inflib.numerics.damping import reliability


def test_reliability_is_the_rank_correlation_of_two_halves():
    rng = np.random.default_rng(0)
    n = 20_000
    signal, noise = rng.normal(size=(n, 1)), rng.normal(size=(n, 10))
    # Halves hold five query groups each: correlation 25 s^2 / (25 s^2 + 5), s^2 = 0.2.
    rho = reliability(0.2**0.5 * signal + noise)
    # A rank correlation of n labels has standard error < 1 / sqrt(n).
    assert rho == pytest.approx(6 / np.pi * np.arcsin(0.5 / 2), abs=4 / n**0.5)


def test_equal_scores_and_a_single_query_group_are_not_reliable():
    signal = np.random.default_rng(0).normal(size=(50, 1))
    assert reliability(np.ones((5, 4))) == 0
    assert reliability(np.hstack([signal, 0 * signal])) == 0
