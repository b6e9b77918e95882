"""How much groups differ: the posterior of tau, and its most likely value."""

import numpy as np
import pytest

from inflib.numerics.between_groups import spread_of


def test_without_errors_tau_is_the_standard_deviation_of_the_means():
    rng = np.random.default_rng(0)
    means = rng.normal(3, 2, 400)
    spread = spread_of(means, np.full(400, 1e-6))
    step = spread.taus[-1] / spread.taus[-2]
    assert 1 / step < spread.reml / means.std(ddof=1) < step
    assert spread.weights.sum() == pytest.approx(1)
    # The posterior of a standard deviation by 400 values.
    error = means.std() / 800**0.5
    assert spread.quantile(0.5) == pytest.approx(means.std(), abs=2 * error)
    assert spread.quantile(0.025) < means.std() < spread.quantile(0.975)


def test_no_spread_is_most_likely_where_errors_explain_the_means():
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.1, 2, 300)
    at_zero = 0
    for _ in range(20):
        spread = spread_of(rng.normal(0, errors), errors**2)
        at_zero += spread.reml < 0.05
        assert spread.quantile(0.5) < 0.15
    assert at_zero >= 10
