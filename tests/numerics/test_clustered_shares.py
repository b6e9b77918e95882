"""Shares of right labels in clusters: coverage of the interval."""

import numpy as np
import pytest
from scipy.stats import binomtest

from inflib.numerics.clustered_shares import clustered_mean, clustered_share


def test_of_independent_labels_it_is_wilsons_interval():
    right = np.array([True] * 150 + [False] * 50)
    found = clustered_share(right, np.arange(200))
    assert found is not None
    wilson = binomtest(150, 200).proportion_ci(method="wilson")
    assert (found.share, found.labels, found.clusters) == (0.75, 200, 200)
    assert [found.low, found.high] == pytest.approx(wilson, abs=0.002)


@pytest.mark.parametrize("share", [0.5, 0.7])
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_intervals_cover_with_very_unequal_clusters(share, alike):
    """alike: probability that a cluster's labels are all right, or all wrong."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        sizes = np.exp(rng.normal(0.5, 1, 60)).round().clip(1).astype(int)
        clusters = np.repeat(np.arange(60), sizes)
        own = rng.random(len(clusters)) < share
        common = (rng.random(60) < share)[clusters]
        right = np.where((rng.random(60) < alike)[clusters], common, own)
        found = clustered_share(right, clusters)
        assert found is not None
        covered.append(found.low <= share <= found.high)
    assert 0.92 < np.mean(covered) < 0.99


def test_labels_that_are_all_right_are_as_many_as_their_clusters():
    ten = clustered_share(np.ones(500, bool), np.repeat(np.arange(10), 50))
    assert ten is not None
    assert ten.high == 1 and 0.5 < ten.low < 0.7
    assert clustered_share(np.ones(5, bool), np.zeros(5)) is None
    assert clustered_mean(np.ones(5), np.zeros(5)).freedom == 0
