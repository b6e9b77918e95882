"""Harm of groups: t intervals, shrinkage, discoveries; what labelers prefer."""

import numpy as np
import pytest
from scipy import stats

from inflib.numerics import random_effects
from inflib.numerics.group_tests import (
    harm,
    mean_differences,
    preferences,
    shrink,
    suspect,
)
from inflib.numerics.random_effects import posterior

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


def test_the_error_is_that_of_welch_when_the_query_set_adds_none(monkeypatch):
    monkeypatch.setattr(random_effects, "PRIOR_FREEDOM", 0.0)  # no shrinking
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


def test_noisy_groups_are_shrunk_more():
    found = posterior(
        np.array([1.0, 1.0, -1.0]),
        np.array([0.1, 1.0, 0.1]),
        np.full(3, 1e6),
        np.ones(3),
        scale=1.0,
    )
    assert 0 < found.mean[1] < found.mean[0] < 1 and found.mean[2] == -found.mean[0]
    assert (found.low < found.mean).all() and (found.mean < found.high).all()
    assert found.high[1] - found.low[1] > 3 * (found.high[0] - found.low[0])


SIZES = {
    "five, one of them large": [1000, 12, 15, 20, 30],
    "most people with few labels": [
        *np.minimum(5000, 1 + 2 * np.random.default_rng(0).pareto(1.0, 300)).astype(int)
    ],
    "tiny": [1, 2, 3, 4, 1, 1, 2, 60, 3, 3],
    "equal": [100] * 8,
}


def people(rng, sizes, deviation):
    """(group of each label, influences, true differences from all others)."""
    means = deviation * rng.normal(size=len(sizes))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = means[groups] + rng.standard_t(4, size=len(groups)) / 2**0.5
    counts = np.array(sizes, float)
    others = (counts @ means - counts * means) / (counts.sum() - counts)
    return groups, labels[:, None] * SHARES, means - others


@pytest.mark.parametrize("name", SIZES)
def test_intervals_cover_and_discoveries_hold_with_very_unequal_groups(name):
    rng = np.random.default_rng(1)
    for deviation in (0.0, 0.5):
        covered, false, deviations, found = [], [], [], 0
        for _ in range(200 if len(SIZES[name]) < 100 else 40):
            groups, influences, truth = people(rng, SIZES[name], deviation)
            counts = np.bincount(groups)
            estimate = mean_differences(groups, len(counts), influences, SHARES)
            shrunk = shrink(estimate, counts)
            covered.append(np.mean((shrunk.low <= truth) & (truth <= shrunk.high)))
            deviations.append(shrunk.deviation)
            rows = harm([str(i) for i in groups], influences, SHARES, 0.1, 10)
            assert all(row["labels"] >= 10 for row in rows)
            flagged = [int(row["name"]) for row in rows if row["harmful"]]
            wrong = [i for i in flagged if truth[i] <= 0]
            false.append(len(wrong) / max(1, len(flagged)))
            found += len(flagged)
        error = max(np.std(false), 0.1) / len(false) ** 0.5
        assert np.mean(false) < 0.1 + 3 * error
        if deviation:
            assert 0.90 <= np.mean(covered) <= 0.985, name
            assert np.mean(deviations) == pytest.approx(deviation, rel=0.2)
            assert found > 0
        else:
            assert np.mean(covered) > 0.95  # all differences are 0, as the prior says


def test_people_with_one_label_do_not_head_the_table():
    rng = np.random.default_rng(3)
    sizes = [1] * 300 + [200] * 5
    groups, influences, _ = people(rng, sizes, 0.0)
    influences[groups == 304] += 0.5 * SHARES  # one who does harm, surely
    rows = harm([str(i) for i in groups], influences, SHARES, 0.1, 1)
    assert rows[0]["name"] == "304" and rows[0]["low"] > 0
    wide = [row["high"] - row["low"] for row in rows if row["labels"] == 1]
    narrow = [row["high"] - row["low"] for row in rows if row["labels"] == 200]
    assert min(wide) > max(narrow)
    assert len(harm([str(i) for i in groups], influences, SHARES, 0.1, 10)) == 5


def test_harmful_groups_are_found_at_the_false_discovery_rate():
    rng = np.random.default_rng(2)
    false_shares, num_right = [], []
    for _ in range(400):
        means = [0.6] * 5 + [0.0] * 10 + [-0.6] * 5  # of the ten, the difference is 0
        groups, influences = simulated(rng, [150] * 20, means)
        rows = harm([f"{i:02}" for i in groups], influences, SHARES, 0.1, 10)
        flagged = {int(row["name"]) for row in rows if row["harmful"]}
        num_right.append(len(flagged & set(range(5))))
        false_shares.append(len(flagged - set(range(5))) / max(1, len(flagged)))
    # 0.6 is five standard errors: all are discovered. Then the rate is at most the
    # level times the share of groups without a difference.
    assert np.mean(num_right) > 4.9
    error = np.std(false_shares) / 400**0.5
    assert 0 < np.mean(false_shares) < 0.1 * 10 / 20 + 4 * error
    assert [row["low"] for row in rows] == sorted(
        (row["low"] for row in rows), reverse=True
    )
    for row in rows:
        assert row["low"] <= row["shrunk"] <= row["high"]


def test_one_group_is_compared_with_nobody():
    assert harm(["a"] * 5, np.ones((5, 10)), SHARES, 0.1, 1) == []


def test_preferences_are_tested_against_all_others():
    names = ["a"] * 100 + ["b"] * 300
    longer = np.array([1.0] * 90 + [0.0] * 10 + [1.0, 0.0] * 150)
    unknown = np.full(400, np.nan)
    everyone = np.ones(400, bool)
    tests = preferences(names, {"longer": longer, "first": unknown}, everyone, 0.1, 10)
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
