"""Ranks and detection metrics against plain counting and scikit-learn."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from inflib.numerics.ranking import (
    bootstrap,
    curve,
    detection,
    p_value,
    percentile_interval,
    ranks,
)


def metrics_of(scores, wrong):
    metrics = detection(scores, wrong)
    assert metrics is not None
    return metrics


SCORES = np.array([3.0, 1.0, 2.0, 2.0, np.nan, 5.0])
WRONG = np.array([True, False, True, False, True, False])


def test_auc_is_the_share_of_pairs_in_the_right_order():
    known = np.isfinite(SCORES)
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in itertools.product(SCORES[known & WRONG], SCORES[known & ~WRONG])
    ]
    assert metrics_of(SCORES, WRONG)["auc"] == pytest.approx(np.mean(wins))


def test_precision_and_true_negatives_by_counting():
    scores, wrong = np.arange(20.0), np.isin(np.arange(20), [19, 17, 12, 4, 2])
    metrics = metrics_of(scores, wrong)
    # 80% of five positives: the threshold at the fourth, 4; 0, 1 and 3 lie below.
    assert metrics["tnr80"] == pytest.approx(3 / 15)
    assert metrics["ap"] == pytest.approx(np.mean([1, 2 / 3, 3 / 8, 4 / 16, 5 / 18]))


def test_metrics_of_one_class_are_unknown():
    assert detection(SCORES, np.ones(6, dtype=bool)) is None
    assert detection(SCORES, np.zeros(6, dtype=bool)) is None


def test_rank_one_is_the_highest_and_ties_keep_their_order():
    assert ranks(SCORES).tolist() == [2, 5, 3, 4, 0, 1]


def noisy(n, ties):
    rng = np.random.default_rng(n)
    wrong = rng.random(n) < 0.2
    scores = rng.normal(size=n) + wrong
    return (scores.round(1) if ties else scores), wrong


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learns(ties):
    scores, wrong = noisy(500, ties)
    metrics = metrics_of(scores, wrong)
    assert metrics["auc"] == pytest.approx(roc_auc_score(wrong, scores))
    assert metrics["ap"] == pytest.approx(average_precision_score(wrong, scores))
    false_rate, true_rate, _ = roc_curve(wrong, scores, drop_intermediate=False)
    assert metrics["tnr80"] == pytest.approx(1 - false_rate[true_rate >= 0.8].min())
    positives, negatives = curve(scores, wrong)
    np.testing.assert_allclose(positives / positives[-1], true_rate[1:])
    np.testing.assert_allclose(negatives / negatives[-1], false_rate[1:])


def test_a_resample_counts_each_label_as_often_as_it_is_drawn():
    scores, wrong = noisy(40, True)
    drawn = bootstrap({"x": scores}, wrong, 5, seed=3)["x"]
    rng = np.random.default_rng(3)
    for i, counts in enumerate(rng.multinomial(40, np.full(40, 1 / 40), size=5)):
        repeated = metrics_of(scores.repeat(counts), wrong.repeat(counts))
        for metric in ("auc", "ap", "tnr80"):
            assert drawn[metric][i] == pytest.approx(repeated[metric])


def test_percentile_intervals_cover_and_paired_tests_hold_their_level():
    """Over many data sets: the true AUC, and two detectors that are equally good."""
    rng = np.random.default_rng(0)
    covered, rejected, trials = 0, 0, 400
    truth = norm.cdf(1 / 2**0.5)
    for trial in range(trials):
        wrong = np.arange(150) < 50
        scores = {name: rng.normal(size=150) + wrong for name in ("x", "y")}
        drawn = bootstrap(scores, wrong, 200, seed=trial)
        low, high = percentile_interval(drawn["x"]["auc"])
        covered += low <= truth <= high
        rejected += p_value(drawn["x"]["auc"] - drawn["y"]["auc"]) <= 0.05
    error = (0.05 * 0.95 / trials) ** 0.5  # of a share of independent trials
    assert abs(covered / trials - 0.95) < 4 * error
    assert abs(rejected / trials - 0.05) < 4 * error
