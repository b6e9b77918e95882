"""What groups of labels prefer, against all others; rare traits in small groups."""

import numpy as np
import pytest
from scipy import stats

from inflib.numerics.trait_tests import preferences


def test_preferences_are_tested_against_all_others():
    names = ["a"] * 100 + ["b"] * 300 + ["c"]
    longer = np.array([1.0] * 90 + [0.0] * 10 + [1.0, 0.0] * 150 + [np.nan])
    unknown = np.full(401, np.nan)
    traits = {"longer": longer, "first": unknown}
    tests = preferences(names, traits, np.ones(401, bool), 0.1, min_labels=2)
    assert tests["a"]["longer"]["share"] == 0.9
    assert tests["a"]["longer"]["others"] == 0.5
    assert tests["a"]["longer"]["unusual"]
    exact = stats.fisher_exact([[90, 10], [150, 150]], alternative="greater").pvalue
    assert tests["a"]["longer"]["p_value"] == pytest.approx(2 * exact)
    assert tests["b"]["first"] == {
        "share": None,
        "others": None,
        "p_value": 1.0,
        "unusual": False,
    }
    assert set(tests) == {"a", "b"}  # c has a single label


def test_rare_traits_in_small_groups_are_no_discoveries():
    """A normal approximation finds some in 59% of the data sets."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        sizes = np.exp(rng.normal(3, 1.4, 60)).round().clip(1, 5000).astype(int)
        names = np.repeat(np.arange(61), [5000, *sizes]).astype(str)
        rare = (rng.random(len(names)) < 0.03).astype(float)
        tests = preferences(names.tolist(), {"x": rare}, np.ones(len(names), bool), 0.1)
        found.append(any(test["x"]["unusual"] for test in tests.values()))
    assert np.mean(found) < 0.1 + 4 * (0.1 * 0.9 / 200) ** 0.5
