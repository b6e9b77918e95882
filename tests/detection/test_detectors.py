"""Detectors on activations and margins, against scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import entropy
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from inflib.detection import detectors

RNG = np.random.default_rng(0)


def clumped(n, d):
    """Correlated features of unequal sizes."""
    return RNG.normal(size=(n, d)) @ RNG.normal(size=(d, d)) + RNG.normal(size=d)


def test_mahalanobis_equals_scipys():
    query, found = clumped(200, 6), clumped(20, 6)
    precision = np.linalg.inv(np.cov(query, rowvar=False, bias=True))
    expected = [mahalanobis(x, query.mean(0), precision) for x in found]
    np.testing.assert_allclose(detectors.Mahalanobis.fit(query)(found), expected)


def test_a_singular_covariance_is_shrunk_as_scikit_learn_does():
    query, found = clumped(10, 30), clumped(20, 30)
    fitted = LedoitWolf().fit(query)
    expected = np.sqrt(fitted.mahalanobis(found))
    np.testing.assert_allclose(detectors.Mahalanobis.fit(query)(found), expected)
    copies = np.concatenate([query, query], axis=1).repeat(20, axis=0)
    assert np.isfinite(detectors.Mahalanobis.fit(copies)(copies)).all()


def test_neighbours_equal_scikit_learns():
    query, found = clumped(50, 8).astype("float32"), clumped(9, 8).astype("float32")

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    far, _ = NearestNeighbors(n_neighbors=50).fit(unit(query)).kneighbors(unit(found))
    ours = detectors.Nearest.fit(query)(found, (1, 5, 50, 100))
    np.testing.assert_allclose(ours, far[:, [0, 4, 49, 49]], atol=2e-3)


def test_features_put_the_chosen_response_first():
    activations = np.arange(12.0).reshape(2, 2, 3)
    found = detectors.features(activations, np.array([1, 1, 0]), np.array([1, -1, 1]))
    assert found.tolist() == [
        [6, 7, 8, 9, 10, 11],
        [9, 10, 11, 6, 7, 8],
        [0, 1, 2, 3, 4, 5],
    ]


def test_confidence_and_entropy_of_margins():
    margins = np.array([-3.0, -0.5, 0.0, 2.0, 40.0])
    p = 1 / (1 + np.exp(-margins))
    found = detectors.of_margins(margins)
    np.testing.assert_allclose(found["self_confidence_low"], -p)
    np.testing.assert_allclose(found["loss"], -np.log(p), atol=1e-15)
    expected = entropy(np.stack([p, 1 - p]), axis=0)
    np.testing.assert_allclose(found["entropy_high"], expected, atol=1e-15)
    np.testing.assert_allclose(found["entropy_low"], -expected, atol=1e-15)


def test_swapped_labels_are_told_apart_where_the_order_shows():
    """Chosen has a larger first feature in one layer; in the other nothing differs."""
    two = RNG.normal(size=(200, 2, 4))
    nothing = detectors.swapped_auc(two.reshape(200, -1), (1, 5))
    two[:, 0, 0] += 3
    shows = detectors.swapped_auc(two.reshape(200, -1), (1, 5))
    assert set(shows) == {"mahalanobis", "knn_1", "knn_5"}
    assert all(shows[name] > 0.9 for name in shows)
    assert all(nothing[name] == pytest.approx(0.5, abs=0.12) for name in nothing)
