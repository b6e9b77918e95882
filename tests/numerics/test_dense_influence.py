"""Estimators by inner products are those by explicit matrices, and the Newton step is
retraining where the loss is quadratic."""

import numpy as np
import pytest

from inflib.numerics import dense_influence as dense

N, Q, D, DAMPING = 23, 5, 40, 0.07


@pytest.fixture(scope="module")
def problem():
    """Gradients [N + Q, D] of very unequal lengths, d and h, and their products."""
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(N + Q, D)) * np.exp(rng.normal(size=(N + Q, 1)))
    margins = rng.normal(size=N)
    d = -1 / (1 + np.exp(margins))
    h = -d * (1 + d)
    d[3] = -d[3]  # a label that pulls its margin down, as smoothed ones may
    return grads, d, h, dense.LabelProducts(grads @ grads.T, d, h)


def oracle(grads, d, terms, damping):
    """Effects by the explicit inverse, and the inverse."""
    hessian = (grads[:N] * terms[:, None]).T @ grads[:N] / N
    inverse = np.linalg.inv(hessian + damping * np.trace(hessian) * np.eye(D))
    loss_grads = d[:, None] * grads[:N]
    return -loss_grads @ inverse @ grads[N:].T / N, inverse


def test_plain_is_the_dot_product(problem):
    grads, d, _, labels = problem
    expected = -(d[:, None] * grads[:N]) @ grads[N:].T / N
    np.testing.assert_allclose(dense.plain(labels), expected, rtol=1e-12)


def test_curvatures_are_those_of_explicit_matrices(problem):
    grads, d, h, labels = problem
    for estimator, terms in ((dense.gauss_newton, h), (dense.empirical_fisher, d**2)):
        expected, _ = oracle(grads, d, terms, DAMPING)
        np.testing.assert_allclose(estimator(labels, DAMPING), expected, rtol=1e-8)


def test_datainf_is_its_sum_of_inverses(problem):
    grads, d, _, labels = problem
    loss_grads = d[:, None] * grads[:N]
    lam = 0.1 * (loss_grads**2).sum(1).mean() / 1000
    inverse = sum(np.linalg.inv(np.outer(g, g) + lam * np.eye(D)) for g in loss_grads)
    expected = -loss_grads @ (inverse / N) @ grads[N:].T / N
    np.testing.assert_allclose(dense.datainf(labels, 0.1, 1000), expected, rtol=1e-6)


def test_leverage_correction_is_one_newton_step_without_the_label(problem):
    grads, d, h, labels = problem
    hessian = (grads[:N] * h[:, None]).T @ grads[:N] / N
    damped = hessian + DAMPING * np.trace(hessian) * np.eye(D)
    corrected = dense.leverage_corrected(labels, DAMPING)
    for i in (0, 3, 11):
        without = damped - h[i] * np.outer(grads[i], grads[i]) / N
        left_out = np.linalg.solve(without, d[i] * grads[i] / N)  # its gradient goes
        np.testing.assert_allclose(-corrected[i], grads[N:] @ left_out, rtol=1e-8)
    assert (dense.leverages(labels, DAMPING) < 1).all()


def test_relative_and_cosine_are_of_unit_length(problem):
    grads, d, h, labels = problem
    expected, inverse = oracle(grads, d, h, DAMPING)
    loss_grads = d[:, None] * grads[:N]
    own = np.sqrt(np.einsum("nd,de,ne->n", loss_grads, inverse, loss_grads))
    relative = dense.relative(labels, DAMPING)
    np.testing.assert_allclose(relative, expected / own[:, None], rtol=1e-8)
    unit = loss_grads / np.linalg.norm(loss_grads, axis=1)[:, None]
    queries = grads[N:] / np.linalg.norm(grads[N:], axis=1)[:, None]
    np.testing.assert_allclose(dense.cosine(labels), -unit @ queries.T / N, rtol=1e-8)


def test_unit_length_scales_training_gradients_alone(problem):
    grads, d, h, labels = problem
    scaled = grads.copy()
    scaled[:N] /= np.linalg.norm(grads[:N], axis=1)[:, None]
    expected, _ = oracle(scaled, d, h, DAMPING)
    np.testing.assert_allclose(dense.unit_length(labels, DAMPING), expected, rtol=1e-8)


def test_mixed_moments_whiten_by_both_sets(problem):
    grads, d, _, labels = problem
    moment = DAMPING * np.eye(D)
    for part, share in ((grads[:N], 0.7), (grads[N:], 0.3)):
        second = part.T @ part
        moment = moment + share * second / np.trace(second)
    values, vectors = np.linalg.eigh(moment)
    white = grads @ (vectors / np.sqrt(values)) @ vectors.T
    white /= np.linalg.norm(white, axis=1)[:, None]
    expected = -np.sign(d)[:, None] * white[:N] @ white[N:].T
    found = dense.mixed_moments(labels, DAMPING, 0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_newton_step_is_retraining_of_a_quadratic_loss(problem):
    grads, _, _, _ = problem
    rng = np.random.default_rng(1)
    targets, h = rng.normal(size=N), rng.uniform(0.1, 2, N)
    features = grads[:N]
    kept = np.ones((3, N))
    kept[1, :9], kept[2, 4] = 0, 3

    def ridge(weights, lam, center):
        """argmin of the weighted mean of h/2 (s . x - y)^2 + lam/2 |x - center|^2."""
        a = (features * (weights * h / weights.sum())[:, None]).T
        return np.linalg.solve(
            a @ features + lam * np.eye(D), a @ targets + lam * center
        )

    lam = DAMPING * (h * (features**2).sum(1)).mean()
    trained = ridge(np.ones(N), 0.3, np.zeros(D))
    residuals = h * (features @ trained - targets)
    labels = dense.LabelProducts(grads @ grads.T, residuals, h)
    steps = dense.newton_step(labels, kept, kept, DAMPING)
    for weights, step in zip(kept, steps, strict=True):
        moved = ridge(weights, lam, trained) - trained
        np.testing.assert_allclose(step, grads[N:] @ moved, rtol=1e-7, atol=1e-10)


def test_woodbury_with_some_weights_zero(problem):
    grads, _, _, labels = problem
    weights = np.zeros(N + Q)
    weights[[1, 5, N + 2]] = 0.3, 2.0, 1.0
    moment = (grads * weights[:, None]).T @ grads
    expected = grads @ np.linalg.inv(moment + 0.5 * np.eye(D)) @ grads.T
    found = dense.damped_products(labels.products, weights, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
