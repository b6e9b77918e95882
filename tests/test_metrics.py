"""Ranks and AUC against plain counting."""

import itertools

import numpy as np
import pytest

from inflib.metrics import auc, ranks

SCORES = np.array([3.0, 1.0, 2.0, 2.0, np.nan, 5.0])
WRONG = np.array([True, False, True, False, True, False])


def test_auc_is_the_share_of_pairs_in_the_right_order():
    known = np.isfinite(SCORES)
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in itertools.product(SCORES[known & WRONG], SCORES[known & ~WRONG])
    ]
    assert auc(SCORES, WRONG) == pytest.approx(np.mean(wins))


def test_auc_of_one_class_is_unknown():
    assert auc(SCORES, np.ones(6, dtype=bool)) is None
    assert auc(SCORES, np.zeros(6, dtype=bool)) is None


def test_rank_one_is_the_highest_and_ties_keep_their_order():
    assert ranks(SCORES).tolist() == [2, 5, 3, 4, 0, 1]
