"""Ranks and detection figures against plain counting."""

import itertools

import numpy as np
import pytest

from inflib.metrics import detection, ranks


def figures(scores, wrong):
    found = detection(scores, wrong)
    assert found is not None
    return found


SCORES = np.array([3.0, 1.0, 2.0, 2.0, np.nan, 5.0])
WRONG = np.array([True, False, True, False, True, False])


def test_auc_is_the_share_of_pairs_in_the_right_order():
    known = np.isfinite(SCORES)
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in itertools.product(SCORES[known & WRONG], SCORES[known & ~WRONG])
    ]
    assert figures(SCORES, WRONG)["auc"] == pytest.approx(np.mean(wins))


def test_precision_and_true_negatives_by_counting():
    scores, wrong = np.arange(20.0), np.isin(np.arange(20), [19, 17, 12, 4, 2])
    found = figures(scores, wrong)
    # 80% of five positives: the threshold at the fourth, 4; 0, 1 and 3 lie below.
    assert found["tnr80"] == pytest.approx(3 / 15)
    assert found["ap"] == pytest.approx(np.mean([1, 2 / 3, 3 / 8, 4 / 16, 5 / 18]))


def test_figures_of_one_class_are_unknown():
    assert detection(SCORES, np.ones(6, dtype=bool)) is None
    assert detection(SCORES, np.zeros(6, dtype=bool)) is None


def test_rank_one_is_the_highest_and_ties_keep_their_order():
    assert ranks(SCORES).tolist() == [2, 5, 3, 4, 0, 1]
