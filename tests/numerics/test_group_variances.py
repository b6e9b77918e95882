"""Variances within groups, small ones moderated."""

import numpy as np
import pytest

from inflib.numerics.group_variances import moderated_variances


def of_values(values, groups):
    freedom = np.bincount(groups) - 1.0
    means = np.bincount(groups, values) / (freedom + 1)
    squares = np.bincount(groups, (values - means[groups]) ** 2)
    variances = squares / np.maximum(freedom, 1)
    return moderated_variances(variances, freedom, values.var(ddof=1))


def test_a_single_value_has_the_variance_of_all_groups_and_a_large_group_its_own():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(41), [1, *[5] * 39, 20_000])
    sigma = np.where(groups == 40, 3.0, 1.0)
    values = rng.normal(size=len(groups)) * sigma
    variances = of_values(values, groups)
    assert variances.variance[40] == pytest.approx(9, rel=0.05)
    pooled = sum(values[groups == i].var() * (groups == i).sum() for i in range(41))
    pooled /= len(groups) - 41
    assert variances.variance[0] == pytest.approx(pooled)
    assert variances.freedom[0] < variances.freedom[1] < variances.freedom[40]


def test_equal_variances_are_pooled_and_unequal_ones_are_not():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 5)
    values = rng.normal(size=1000)
    alike = of_values(values, groups)
    samples = values.reshape(200, 5).var(axis=1, ddof=1)
    assert np.ptp(alike.variance) < np.ptp(samples) / 3 and alike.freedom.min() > 12
    factors = np.exp(rng.normal(0, 1, 200))
    unlike = of_values(values * factors[groups], groups)
    assert unlike.freedom.max() < 8
    assert np.corrcoef(np.log(unlike.variance), np.log(factors))[0, 1] > 0.6


def test_single_values_alone_have_the_variance_of_all():
    variances = of_values(np.array([1.0, 2.0, 6.0]), np.arange(3))
    assert variances.variance.tolist() == [7.0] * 3
    assert not of_values(np.ones(4), np.array([0, 0, 1, 1])).variance.any()
