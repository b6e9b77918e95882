"""The damping rule's reliability."""

import numpy as np
import pytest

from inflib.numerics.damping import reliability


def test_reliability_is_the_rank_correlation_of_two_halves():
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(5000, 1)), rng.normal(size=(5000, 10))
    # Halves hold five groups each: correlation 25 s^2 / (25 s^2 + 5), s^2 = 0.2.
    rho = reliability(0.2**0.5 * signal + noise)
    assert rho == pytest.approx(6 / np.pi * np.arcsin(0.5 / 2), abs=0.03)
    assert reliability(np.ones((5, 4))) == 0
    assert reliability(np.hstack([signal, 0 * signal])) == 0
