"""Detectors on activations and margins, against scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import entropy
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from inflib.detection import detectors


def clumped(rng, n, d):
    """[n d] correlated features of unequal sizes."""
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_mahalanobis_distances_equal_scipys(rng):
    query, train = clumped(rng, 200, 6), clumped(rng, 20, 6)
    precision = np.linalg.inv(np.cov(query, rowvar=False, bias=True))
    expected = [mahalanobis(x, query.mean(0), precision) for x in train]
    np.testing.assert_allclose(detectors.Mahalanobis.fit(query)(train), expected)


def test_a_singular_covariance_is_shrunk_as_scikit_learn_does(rng):
    query, train = clumped(rng, 10, 30), clumped(rng, 20, 30)
    fitted = LedoitWolf().fit(query)
    expected = np.sqrt(fitted.mahalanobis(train))
    np.testing.assert_allclose(detectors.Mahalanobis.fit(query)(train), expected)
    copies = np.concatenate([query, query], axis=1).repeat(20, axis=0)
    assert np.isfinite(detectors.Mahalanobis.fit(copies)(copies)).all()


def test_distances_to_neighbours_equal_scikit_learns(rng):
    query = clumped(rng, 50, 8).astype("float32")
    train = clumped(rng, 9, 8).astype("float32")

    def normalized(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    theirs = NearestNeighbors(n_neighbors=50).fit(normalized(query))
    expected, _ = theirs.kneighbors(normalized(train))
    ours = detectors.Nearest.fit(query)(train, (1, 5, 50, 100))
    np.testing.assert_allclose(ours, expected[:, [0, 4, 49, 49]], atol=2e-3)


def test_features_put_the_chosen_response_first():
    activations = np.arange(12.0).reshape(2, 2, 3)
    rows, signs = np.array([1, 1, 0]), np.array([1, -1, 1])
    assert detectors.features(activations, rows, signs).tolist() == [
        [6, 7, 8, 9, 10, 11],
        [9, 10, 11, 6, 7, 8],
        [0, 1, 2, 3, 4, 5],
    ]


def test_confidence_loss_and_entropy_follow_from_margins():
    margins = np.array([-3.0, -0.5, 0.0, 2.0, 40.0])
    p = 1 / (1 + np.exp(-margins))
    scores = detectors.margin_scores(margins)
    np.testing.assert_allclose(scores["self_confidence_low"], -p)
    np.testing.assert_allclose(scores["loss"], -np.log(p), atol=1e-15)
    expected = entropy(np.stack([p, 1 - p]), axis=0)
    np.testing.assert_allclose(scores["entropy_high"], expected, atol=1e-15)
    np.testing.assert_allclose(scores["entropy_low"], -expected, atol=1e-15)


def test_swapped_labels_are_told_apart_only_where_chosen_responses_differ(rng):
    """Nothing tells chosen from rejected first; then chosen have a larger feature."""
    half = 100  # of the query labels
    responses = rng.normal(size=(2 * half, 2, 4))
    alike = detectors.swapped_auc(responses.reshape(2 * half, -1), (1, 5))
    responses[:, 0, 0] += 3
    differ = detectors.swapped_auc(responses.reshape(2 * half, -1), (1, 5))
    assert set(alike) == set(differ) == {"mahalanobis", "knn_1", "knn_5"}
    assert all(auc > 0.9 for auc in differ.values())
    # Mann-Whitney's standard error of an AUC of 1/2, half against half. The AUCs of the
    # two halves are of the same distances: their mean is no more certain.
    error = ((2 * half + 1) / (12 * half * half)) ** 0.5
    assert all(abs(auc - 0.5) < 4 * error for auc in alike.values())
