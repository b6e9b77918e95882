"""Harm of groups: t intervals, shrinkage, discoveries; what labelers prefer."""

import numpy as np
import pytest
from scipy import stats

from inflib.numerics.group_tests import (
    Estimate,
    harm,
    mean_differences,
    preferences,
    shrink,
    suspect,
)

SHARES = np.full(10, 0.1)


def simulated(rng, sizes, means, query_noise=0.0):
    """(group of each label, influences by query group) for groups of labels with these
    sizes and means: labels differ by unit noise and by noise of each query group; each
    query group also has noise that all labels of a group of labels share."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    scores = rng.normal(np.array(means)[groups], 1)
    influences = scores[:, None] / 10 + rng.normal(0, 0.3, (len(groups), 10))
    shared = rng.normal(size=(len(sizes), 1)) * query_noise * rng.normal(size=10)
    return groups, influences + shared[groups]


def test_the_error_is_that_of_welch_when_the_query_set_adds_none():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], [30, 50, 200])
    scores = rng.normal(size=280) * (1 + groups)
    estimate = mean_differences(groups, 3, scores[:, None] * SHARES, SHARES)
    for i in range(3):
        welch = stats.ttest_ind(
            scores[groups == i], scores[groups != i], equal_var=False
        )
        statistic = estimate.difference[i] / estimate.error[i]
        assert statistic == pytest.approx(welch.statistic)
        assert estimate.freedom[i] == pytest.approx(welch.df)


def test_t_intervals_cover_the_true_difference_with_noisy_query_sets():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        sizes, means = [40, 80, 160, 400], [0.5, 0.0, -0.2, 0.1]
        groups, influences = simulated(rng, sizes, means, query_noise=0.05)
        estimate = mean_differences(groups, 4, influences, SHARES)
        for i in range(4):
            rest = [j for j in range(4) if j != i]
            exact = means[i] - np.average(
                np.array(means)[rest], weights=np.array(sizes)[rest]
            )
            statistic = abs(estimate.difference[i] - exact) / estimate.error[i]
            covered.append(statistic < stats.t.ppf(0.975, estimate.freedom[i]))
    assert 0.92 < np.mean(covered) < 0.98


def test_noisy_groups_are_shrunk_more_and_equal_ones_to_nothing():
    estimate = Estimate(
        np.array([1.0, 1.0, -1.0]), np.array([0.1, 1.0, 0.1]), np.ones(3)
    )
    mean, deviation = shrink(estimate)
    assert 0 < mean[1] < mean[0] < 1 and mean[2] == -mean[0]
    assert (deviation < estimate.error).all()
    difference = np.random.default_rng(0).normal(0, 0.5, 200)
    mean, _ = shrink(Estimate(difference, np.full(200, 0.5), np.ones(200)))
    prior = 4 * 0.5**2 * (2 / 200) ** 0.5  # 4 standard errors of the prior's variance
    factor = prior / (prior + 0.5**2)
    assert (np.abs(mean) <= factor * np.abs(difference)).all()


def test_harmful_groups_are_found_at_the_false_discovery_rate():
    rng = np.random.default_rng(2)
    false_shares, num_right = [], []
    for _ in range(400):
        means = [0.6] * 5 + [0.0] * 10 + [-0.6] * 5  # of the ten, the difference is 0
        groups, influences = simulated(rng, [150] * 20, means)
        rows = harm([f"{i:02}" for i in groups], influences, SHARES, 0.1)
        flagged = {int(row["name"]) for row in rows if row["harmful"]}
        num_right.append(len(flagged & set(range(5))))
        false_shares.append(len(flagged - set(range(5))) / max(1, len(flagged)))
    # 0.6 is five standard errors: all are discovered. Then the rate is at most the
    # level times the share of groups without a difference.
    assert np.mean(num_right) > 4.9
    error = np.std(false_shares) / 400**0.5
    assert 0 < np.mean(false_shares) < 0.1 * 10 / 20 + 4 * error
    assert [row["shrunk"] for row in rows] == sorted(
        (row["shrunk"] for row in rows), reverse=True
    )
    for row in rows:
        assert row["low"] <= row["shrunk"] <= row["high"]


def test_one_group_is_compared_with_nobody():
    assert harm(["a"] * 5, np.ones((5, 10)), SHARES, 0.1) == []


def test_preferences_are_tested_against_all_others():
    names = ["a"] * 100 + ["b"] * 300
    longer = np.array([1.0] * 90 + [0.0] * 10 + [1.0, 0.0] * 150)
    unknown = np.full(400, np.nan)
    everyone = np.ones(400, bool)
    tests = preferences(names, {"longer": longer, "first": unknown}, everyone, 0.1)
    assert tests["a"]["longer"]["share"] == 0.9
    assert tests["a"]["longer"]["others"] == 0.5
    assert tests["a"]["longer"]["unusual"]
    statistic, _ = stats.chi2_contingency([[90, 10], [150, 150]], correction=False)[:2]
    assert tests["a"]["longer"]["p_value"] == pytest.approx(stats.chi2.sf(statistic, 1))
    assert tests["b"]["first"] == {
        "share": None,
        "others": None,
        "p_value": 1.0,
        "unusual": False,
    }


def trait(share, others, p_value):
    return {"share": share, "others": others, "p_value": p_value, "unusual": False}


def test_any_test_of_a_group_makes_it_suspicious_but_not_much_agreement():
    rows = [{"name": n, "p_value": 1e-4 if n == "a" else 0.5} for n in "abcd"]
    unknown = trait(None, None, 1.0)
    tests = {
        "a": {"longer": trait(0.5, 0.5, 1.0), "model": trait(0.6, 0.6, 1.0)},
        "b": {"longer": trait(0.9, 0.5, 1e-9), "model": unknown},
        "c": {"longer": unknown, "model": trait(0.9, 0.5, 1e-9)},
        "d": {"longer": unknown, "model": trait(0.3, 0.5, 1e-3)},
    }
    suspects = {row["name"]: row for row in suspect(rows, tests, 0.1)}
    assert [suspects[n]["suspicious"] for n in "abcd"] == [True, True, False, True]
    assert [suspects[n]["because"] for n in "abd"] == ["harm", "longer", "model"]
    p_values = [suspects[n]["any_p_value"] for n in "abcd"]
    assert p_values == pytest.approx([3e-4, 2e-9, 1.0, 2e-3])
    assert suspect([], {}, 0.1) == []
