"""Inner products of a store are in the order of its plan and give the scores that
`score` gives."""

import numpy as np
import pytest

from inflib.benchmarks.fake_store import Generated, write_manifest, write_set
from inflib.numerics import dense_influence as dense
from inflib.scores import inner_products
from inflib.scores.inner_products import read_products
from inflib.storage.folder import Folder
from tests.support.known_store import (
    LAYERS,
    QUERY,
    TRAIN,
    column,
    score_config,
    scored,
)


@pytest.mark.parametrize("kind", ["identity", "gauss_newton", "empirical_fisher"])
def test_dense_scores_are_those_of_passes(run, kind):
    config = score_config(kind, damping=(1e-2,), query_groups=1, tolerance=1e-9)
    rows, _ = scored(run, config)
    products = read_products(run, "q", 1)
    estimator = {
        "identity": dense.plain,
        "gauss_newton": lambda labels: dense.gauss_newton(labels, 1e-2),
        "empirical_fisher": lambda labels: dense.empirical_fisher(labels, 1e-2),
    }[kind]
    effects = estimator(products.labels)
    harm = effects @ products.slopes / len(products.slopes) * products.labels.n
    counted = [row for row in rows if row["status"] == "ok"]
    assert list(products.columns["pair_id"]) == [row["pair_id"] for row in counted]
    expected = column(counted, f"influence_{kind}_q")
    np.testing.assert_allclose(harm, expected, rtol=2e-3, atol=1e-5 * abs(harm).max())
    for name in ("margin", "loss", "gradient_norm"):
        np.testing.assert_allclose(
            products.columns[name], column(counted, name), rtol=1e-6
        )


def test_labels_can_be_left_out_and_large_runs_are_refused(run, monkeypatch):
    everything = read_products(run, "q", 1)
    first = everything.columns["comparison_id"][0]
    fewer = read_products(run, "q", 1, 0.0, lambda comparison: comparison != first)
    kept = everything.columns["comparison_id"] != first
    rows = np.concatenate([kept, np.ones(len(everything.slopes), bool)])
    expected = everything.labels.products[np.ix_(rows, rows)]
    np.testing.assert_allclose(fewer.labels.products, expected, rtol=1e-6)
    monkeypatch.setattr(inner_products, "MOST", 3)
    with pytest.raises(ValueError, match="inner products of all of them are for up"):
        read_products(run, "q", 1)


def test_smoothing_is_that_of_the_targets(run):
    smoothed, plain = (read_products(run, "q", 1, e) for e in (0.3, 0.0))
    margins = smoothed.columns["margin"]
    for products, target in ((smoothed, 0.7), (plain, 1.0)):
        expected = 1 / (1 + np.exp(-margins)) - target
        found = products.by_smoothed_loss.derivatives
        np.testing.assert_allclose(found, expected, atol=1e-12)
    same = smoothed.labels.derivatives
    np.testing.assert_array_equal(same, plain.labels.derivatives)


def test_query_labels_without_a_weight_are_not_among_them(tmp_path):
    query = QUERY[0]
    weights = [1.0] * len(query.signs)
    weights[1] = weights[4] = 0.0
    run = Folder(str(tmp_path))
    write_manifest(run, LAYERS)
    write_set(run, "train", TRAIN)
    write_set(run, "q", [Generated(**vars(query) | {"weights": weights})])
    products = read_products(run, "q", 1)
    # margins of a retrained model are of the labels with a weight, too
    assert products.in_plan.all() and len(products.in_plan) == len(weights) - 2
    assert products.labels.cross.shape[1] == len(products.slopes) == len(weights) - 2


def test_slopes_of_flipped_query_labels_are_those_of_such_a_query_set(tmp_path):
    rng = np.random.default_rng(0)
    count = len(QUERY[0].signs)
    fields = vars(QUERY[0]) | {"weights": rng.uniform(0.5, 2, count).tolist()}
    fields["targets"] = rng.uniform(0.6, 1, count).tolist()
    slopes = []
    others = {"targets": [1 - target for target in fields["targets"]]}
    for name, turned in (("as_is", {}), ("flipped", others)):
        run = Folder(str(tmp_path / name))
        write_manifest(run, LAYERS)
        write_set(run, "train", TRAIN)
        write_set(run, "q", [Generated(**fields | turned)])
        slopes.append(read_products(run, "q", 1))
    as_is, flipped = slopes
    np.testing.assert_allclose(as_is.flipped_slopes, flipped.slopes, atol=1e-12)
    assert np.abs(as_is.flipped_slopes - as_is.slopes).min() > 0
