"""Scores from sketches against scores from whole gradients, of a tiny trained run."""

import numpy as np
import pytest

from inflib.benchmarks.whole_gradients import (
    agreement,
    compressed_scores,
    exact_scores,
    load,
)
from inflib.config.score import ScoreConfig
from tests.support.prepared_run import ROWS, build_run

KINDS = ("identity", "datainf", "datainf_layer", "gauss_newton", "empirical_fisher")
CONFIG = ScoreConfig.model_validate(
    {"curvatures": KINDS, "damping": 1e-2, "query_groups": 1, "tolerance": 1e-6}
)


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    recipe = build_run(tmp_path_factory.mktemp("fidelity"), ROWS)
    return load(recipe, 100, "q")


def test_without_compression_scores_equal_the_exact_ones_for_every_curvature(gradients):
    train, query = gradients
    assert len(train.margins) == len(ROWS)
    exact = exact_scores(train, query, CONFIG)
    # More bins than parameters in all: every layer has a bin for each of its own.
    table = compressed_scores(
        train, query, CONFIG, "float32", 2 * train.grads.shape[1], 0
    )
    for kind in CONFIG.curvatures:
        scores = table[f"influence_{kind}_query"].to_numpy()
        np.testing.assert_allclose(
            scores, exact[kind], rtol=1e-3, atol=1e-4 * np.abs(exact[kind]).max()
        )
        # Products without compression are exact, and so are their errors.
        assert (table[f"error_{kind}_query"].to_numpy() == 0).all()


def test_fewer_bins_lose_more(gradients):
    train, query = gradients
    exact = exact_scores(train, query, CONFIG)["identity"]
    pearson = {}
    for size in (32, 1024):
        table = compressed_scores(train, query, CONFIG, "float32", size, 0)
        scores = table["influence_identity_query"].to_numpy()
        pearson[size] = agreement(scores, exact)["pearson"]
    assert pearson[32] < pearson[1024] < 1


def test_agreement_of_known_rankings():
    exact = np.arange(200.0)
    swapped = exact.copy()
    swapped[[0, 199]] = swapped[[199, 0]]
    metrics = agreement(swapped, exact)
    # Swapping ranks 0 and n - 1 costs Spearman's rho 6 * 2 (n - 1)^2 / (n (n^2 - 1)).
    rho = 1 - 12 * 199**2 / (200 * (200**2 - 1))
    assert metrics["top_1_percent"] == 0.5
    assert metrics["spearman"] == pytest.approx(rho)
    assert metrics["pearson"] == pytest.approx(rho)  # the values are their ranks
    assert agreement(3 * exact + 1, exact)["pearson"] == pytest.approx(1)
