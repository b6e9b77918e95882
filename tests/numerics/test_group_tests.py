"""Harm of groups: discoveries, their order; which groups are suspicious."""

import numpy as np
import pytest

from inflib.numerics.group_tests import harm, suspect
from tests.numerics.test_group_means import SHARES, many, simulated, true_harm, votes


def audited(rng, sizes, means, min_labels=10, shares=SHARES):
    groups, influences, _ = simulated(rng, sizes, means, shares=shares)
    names = [f"{i:04}" for i in groups]
    return harm(names, influences, shares, 0.1, min_labels)[0]


def test_harmful_groups_are_found_at_the_false_discovery_rate():
    rng = np.random.default_rng(2)
    false_shares, num_right = [], []
    for _ in range(200):
        means = np.array([0.6] * 5 + [0.0] * 10 + [-0.6] * 5)  # of the ten: no harm
        rows = audited(rng, np.array([150] * 20), means)
        flagged = {int(row["name"]) for row in rows if row["harmful"]}
        num_right.append(len(flagged & set(range(5))))
        false_shares.append(len(flagged - set(range(5))) / max(1, len(flagged)))
    assert np.mean(num_right) > 4.8  # 0.6 is five standard errors
    error = np.std(false_shares) / 200**0.5
    assert np.mean(false_shares) < 0.1 * 10 / 20 + 4 * error
    lows = [row["low"] for row in rows]
    assert lows == sorted(lows, reverse=True)
    for row in rows:
        assert row["low"] <= row["shrunk"] <= row["high"]


@pytest.mark.parametrize("harmful", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_the_rate_holds_with_very_unequal_groups_also_when_nobody_harms(harmful):
    rng = np.random.default_rng(3)
    false_shares = []
    for _ in range(200):
        sizes = many(rng)
        means = np.where(np.arange(30) % 10 == 1, harmful, 0.0)
        truth = true_harm(sizes, means)
        rows = audited(rng, sizes, means)
        flagged = [int(row["name"]) for row in rows if row["harmful"]]
        wrong = sum(truth[i] <= 0 for i in flagged)
        false_shares.append(wrong / max(1, len(flagged)))
    assert np.mean(false_shares) < 0.1 + 4 * np.std(false_shares) / 200**0.5


def test_people_with_one_label_do_not_head_the_table_even_when_all_are_shown():
    rng = np.random.default_rng(0)
    sizes = votes(rng)
    rows = audited(rng, sizes, rng.normal(0, 0.5, len(sizes)), min_labels=1)
    assert len(rows) == len(sizes)
    assert all(row["labels"] >= 3 for row in rows[:10])
    assert np.median([row["labels"] for row in rows[:10]]) >= 10
    assert not [row for row in rows if row["low"] > 0 and row["labels"] < 3]


def test_groups_of_fewer_labels_are_left_out():
    rng = np.random.default_rng(0)
    rows = audited(rng, np.array([30, 10, 9]), np.zeros(3))
    assert {row["labels"] for row in rows} == {30, 10}
    assert audited(rng, np.array([3, 2]), np.zeros(2)) == []


def test_one_group_is_compared_with_nobody():
    assert harm(["a"] * 5, np.ones((5, 10)), SHARES, 0.1) == ([], None)


def test_with_one_filled_query_group_nothing_is_said_about_errors():
    rng = np.random.default_rng(0)
    single = np.array([1.0, 0.0])
    rows = audited(rng, np.array([300, 300]), np.array([1.0, 0.0]), shares=single)
    for row in rows:
        unknown = [row[name] for name in ("error", "low", "high", "p_value")]
        assert unknown == [None] * 4 and not row["harmful"]
    assert rows[0]["shrunk"] > rows[1]["shrunk"]


def trait(share, others, p_value):
    return {"share": share, "others": others, "p_value": p_value, "unusual": False}


def facts(p_value, **given):
    tests = {name: {"p_value": p} for name, p in given.items()}
    return {"p_value": p_value, "given_quality": tests or None}


def test_where_quality_is_known_traits_are_judged_given_it():
    rows = [{"name": "a"}, {"name": "b"}]
    tests = {
        n: {"longer": trait(0.9, 0.5, 1e-9), "model": trait(0.3, 0.5, 1e-9)}
        for n in "ab"
    }
    quality = {"a": facts(0.5, longer=0.4), "b": facts(0.5, longer=1e-4)}
    suspects = suspect(rows, tests, quality, 0.1)
    assert [row["suspicious"] for row in suspects] == [False, True]
    assert [row["any_p_value"] for row in suspects] == pytest.approx([0.8, 2e-4])


def test_any_test_of_a_group_makes_it_suspicious_but_not_much_agreement():
    rows = [{"name": n} for n in "abcd"]
    quality = {n: facts(1e-4 if n == "a" else 0.5) for n in "abcd"}
    unknown = trait(None, None, 1.0)
    tests = {
        "a": {"longer": trait(0.5, 0.5, 1.0), "model": trait(0.6, 0.6, 1.0)},
        "b": {"longer": trait(0.9, 0.5, 1e-9), "model": unknown},
        "c": {"longer": unknown, "model": trait(0.9, 0.5, 1e-9)},
        "d": {"longer": unknown, "model": trait(0.3, 0.5, 1e-3)},
    }
    suspects = {row["name"]: row for row in suspect(rows, tests, quality, 0.1)}
    assert [suspects[n]["suspicious"] for n in "abcd"] == [True, True, False, True]
    assert [suspects[n]["because"] for n in "abd"] == ["harm", "longer", "model"]
    p_values = [suspects[n]["any_p_value"] for n in "abcd"]
    assert p_values == pytest.approx([3e-4, 2e-9, 1.0, 2e-3])
    assert suspect([], {}, {}, 0.1) == []
