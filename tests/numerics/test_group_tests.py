"""Harm of groups: intervals, shrinkage, discoveries; what labelers prefer."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from inflib.config.score import ReportConfig
from inflib.numerics.group_tests import (
    Estimate,
    compare,
    harm,
    preferences,
    shrink,
    suspect,
)
from inflib.report.labelers import (
    audit_groups,
    audit_preferences,
    group_columns,
    time_buckets,
    traits,
)

SHARES = np.full(10, 0.1)


def simulated(rng, sizes, means, query_noise=0.0):
    """(group of each label, parts): labels of unit spread; query groups that all add a
    noise of their own, in proportion to each group's mean direction."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    scores = rng.normal(np.array(means)[group], 1)
    parts = scores[:, None] / 10 + rng.normal(0, 0.3, (len(group), 10))
    direction = rng.normal(size=(len(sizes), 1)) * query_noise * rng.normal(size=10)
    return group, parts + direction[group]


def test_the_error_is_that_of_welch_when_the_query_set_adds_none():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [30, 50, 200])
    scores = rng.normal(size=280) * (1 + group)
    found = compare(group, 3, scores[:, None] * SHARES, SHARES)
    for i in range(3):
        welch = stats.ttest_ind(scores[group == i], scores[group != i], equal_var=False)
        assert found.difference[i] / found.error[i] == pytest.approx(welch.statistic)
        assert found.freedom[i] == pytest.approx(welch.df)


def test_intervals_cover_the_true_difference_with_noisy_query_sets():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        sizes, means = [40, 80, 160, 400], [0.5, 0.0, -0.2, 0.1]
        group, parts = simulated(rng, sizes, means, query_noise=0.05)
        found = compare(group, 4, parts, SHARES)
        for i in range(4):
            rest = [j for j in range(4) if j != i]
            exact = means[i] - np.average(
                np.array(means)[rest], weights=np.array(sizes)[rest]
            )
            away = abs(found.difference[i] - exact) / found.error[i]
            covered.append(away < stats.t.ppf(0.975, found.freedom[i]))
    assert 0.92 < np.mean(covered) < 0.98


def test_noisy_groups_are_shrunk_more_and_equal_ones_to_nothing():
    wide = Estimate(np.array([1.0, 1.0, -1.0]), np.array([0.1, 1.0, 0.1]), np.ones(3))
    mean, deviation = shrink(wide)
    assert 0 < mean[1] < mean[0] < 1 and mean[2] == -mean[0]
    assert (deviation < wide.error).all()
    rng = np.random.default_rng(0)
    errors = np.full(200, 0.5)
    mean, _ = shrink(Estimate(rng.normal(0, 0.5, 200), errors, errors))
    assert np.abs(mean).max() < 0.4


def test_harmful_groups_are_found_at_the_false_discovery_rate():
    rng = np.random.default_rng(2)
    wrong, found = [], []
    for _ in range(100):
        means = [0.6] * 5 + [0.0] * 15
        group, parts = simulated(rng, [150] * 20, means)
        rows = harm([f"{i:02}" for i in group], parts, SHARES, 0.1)
        flagged = {int(row["name"]) for row in rows if row["harmful"]}
        found.append(len(flagged & set(range(5))))
        wrong.append(len(flagged - set(range(5))) / max(1, len(flagged)))
    assert np.mean(found) > 4 and np.mean(wrong) < 0.1 + 4 * np.std(wrong) / 10
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
    found = preferences(names, {"longer": longer, "first": unknown}, everyone, 0.1)
    assert found["a"]["longer"]["share"] == 0.9
    assert found["a"]["longer"]["others"] == 0.5
    assert found["a"]["longer"]["unusual"]
    statistic, _ = stats.chi2_contingency([[90, 10], [150, 150]], correction=False)[:2]
    assert found["a"]["longer"]["p_value"] == pytest.approx(stats.chi2.sf(statistic, 1))
    assert found["b"]["first"] == {
        "share": None,
        "others": None,
        "p_value": 1.0,
        "unusual": False,
    }


def seen(share, others, p_value):
    return {"share": share, "others": others, "p_value": p_value, "unusual": False}


def test_any_test_of_a_group_makes_it_suspicious_but_not_much_agreement():
    rows = [{"name": n, "p_value": 1e-4 if n == "a" else 0.5} for n in "abcd"]
    unknown = seen(None, None, 1.0)
    traits = {
        "a": {"longer": seen(0.5, 0.5, 1.0), "model": seen(0.6, 0.6, 1.0)},
        "b": {"longer": seen(0.9, 0.5, 1e-9), "model": unknown},
        "c": {"longer": unknown, "model": seen(0.9, 0.5, 1e-9)},
        "d": {"longer": unknown, "model": seen(0.3, 0.5, 1e-3)},
    }
    found = {row["name"]: row for row in suspect(rows, traits, 0.1)}
    assert [found[n]["suspicious"] for n in "abcd"] == [True, True, False, True]
    assert [found[n]["because"] for n in "abd"] == ["harm", "longer", "model"]
    p_values = [found[n]["any_p_value"] for n in "abcd"]
    assert p_values == pytest.approx([3e-4, 2e-9, 1.0, 2e-3])
    assert suspect([], {}, 0.1) == []


def test_biased_labelers_do_not_make_the_others_look_odd():
    """Four of ten choose the longer response: the others' share is that of the six."""
    rng = np.random.default_rng(0)
    labelers = np.arange(10).repeat(150)
    longer = rng.random(1500) < np.where(labelers < 4, 0.9, 0.5)
    table = pa.table(
        {
            "comparison_id": [str(i) for i in range(1500)],
            "sign": pa.array(np.ones(1500), pa.int8()),
            "length_difference": np.where(longer, 3, -3),
            "margin": np.zeros(1500),
            "labeler": [str(i) for i in labelers],
        }
    )
    found = audit_preferences(ReportConfig(), table)["labeler"]
    unusual = [name for name, own in found.items() if own["longer"]["unusual"]]
    assert unusual == ["0", "1", "2", "3"]
    for own in found.values():
        assert own["longer"]["others"] < 0.54  # of all labels it is 0.66


TABLE = pa.table(
    {
        "comparison_id": ["x", "x", "x", "y", "z"],
        "sign": pa.array([1, 1, -1, 1, -1], pa.int8()),
        "length_difference": [3, 3, -3, 0, 2],
        "margin": [0.5, 0.5, -0.5, 0.0, 1.0],
        "labeler": ["a", "b", None, "a", "a"],
        "shown_first": [True, None, False, True, True],
        "parts_c": pa.array([[1.0, 2.0]] * 5, pa.list_(pa.float32(), 2)),
    }
)


def test_traits_of_labels():
    everyone = np.ones(5, bool)
    found = traits(ReportConfig(position="shown_first"), TABLE, everyone)
    nan = np.nan
    np.testing.assert_array_equal(found["longer"], [1, 1, 0, nan, 1])
    np.testing.assert_array_equal(found["model"], [1, 1, 0, nan, 1])
    np.testing.assert_array_equal(found["others"], [nan, nan, 0, nan, nan])
    np.testing.assert_array_equal(found["first"], [1, nan, 0, 1, 1])
    with pytest.raises(ValueError, match=r"report\.position 'missing' is no column"):
        traits(ReportConfig(position="missing"), TABLE, everyone)
    two = np.array([True, False, True, True, True])
    found = traits(ReportConfig(), TABLE, two)
    np.testing.assert_array_equal(found["others"], [0, nan, 0, nan, nan])


def test_columns_that_the_data_lacks_are_left_out_and_a_wrong_time_is_refused():
    config = ReportConfig(groups=("labeler", "source"))
    assert group_columns(config, TABLE) == {"labeler": ["a", "b", "-", "a", "a"]}
    seen = audit_preferences(config, TABLE)
    found = audit_groups(config, TABLE, "c", np.array([0.5, 0.5]), seen)
    assert set(found) == set(seen) == {"labeler"}
    assert {row["name"] for row in found["labeler"]} == {"a", "b", "-"}
    with pytest.raises(ValueError, match=r"report\.time 'when' is no column"):
        group_columns(ReportConfig(time="when"), TABLE)


def test_times_are_cut_into_ten_equal_shares():
    found = time_buckets([*range(100, 0, -1), None])
    assert found[-1] == "-" and found[0] == "91 to 100" and found[99] == "1 to 10"
    assert len(set(found)) == 11
    assert time_buckets(["2024-01", "2024-01", None]) == ["2024-01 to 2024-01"] * 2 + [
        "-"
    ]
    assert time_buckets([None]) == ["-"]
