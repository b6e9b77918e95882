"""Weights of labels and DataInf's closed form; what influence and flips mean."""

import pytest
import torch

from inflib.numerics import curvature, influence

C, N, K, Q = 9, 13, 7, 3  # distinct sizes: a transposed result cannot pass


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


SKETCHES, MARGINS, VECTORS = normal(0, C, K), normal(1, C), normal(2, K, Q)
ROWS = torch.tensor([0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8])
SIGNS = torch.tensor([1, -1, 1, 1, -1, 1, 1, -1, 1, -1, 1, 1, -1], dtype=torch.float64)
SQ_NORMS = SKETCHES.square().sum(1)
REQUIRED = torch.linspace(-0.5, 1.0, N, dtype=torch.float64)
WEIGHTS = curvature.loss_weights(MARGINS[ROWS], SIGNS, REQUIRED)
GRADS = WEIGHTS[:, None] * SKETCHES[ROWS]


def test_loss_weights_are_the_derivative_of_the_loss():
    margins = MARGINS[ROWS].clone().requires_grad_(True)
    torch.nn.functional.softplus(REQUIRED - SIGNS * margins).sum().backward()
    torch.testing.assert_close(WEIGHTS, margins.grad)


def test_hessian_weights_are_the_second_derivative_of_the_loss():
    margins = MARGINS[ROWS].clone().requires_grad_(True)
    loss = torch.nn.functional.softplus(REQUIRED - SIGNS * margins).sum()
    (first,) = torch.autograd.grad(loss, margins, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), margins)
    weights = curvature.hessian_weights(MARGINS[ROWS], SIGNS, REQUIRED)
    torch.testing.assert_close(weights, second)


@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
def test_datainf_equals_the_mean_of_dense_inverses(lam):
    eye = torch.eye(K, dtype=torch.float64)
    inverses = [torch.linalg.inv(torch.outer(g, g) + lam * eye) for g in GRADS]
    terms = curvature.datainf_coefficients(WEIGHTS, SQ_NORMS[ROWS], lam)
    coefficients = influence.by_comparison(terms, ROWS, C)
    products = SKETCHES.T @ (coefficients[:, None] * (SKETCHES @ VECTORS))
    ihvps = curvature.datainf_ihvp(VECTORS, products, float(N), lam)
    torch.testing.assert_close(ihvps, sum(inverses) / N @ VECTORS)


def test_datainf_without_gradients_leaves_the_vector():
    zero = torch.zeros_like(VECTORS)
    assert curvature.datainf_ihvp(VECTORS, zero, float(N), 0.0) is VECTORS


def test_weights_by_comparison_give_the_sum_of_loss_gradients():
    sums = influence.by_comparison(WEIGHTS, ROWS, C)
    torch.testing.assert_close(sums @ SKETCHES, GRADS.sum(0))


def test_flip_effect_is_influence_of_the_flipped_label_minus_as_labelled():
    aligned = SKETCHES @ VECTORS
    flipped_weights = curvature.loss_weights(MARGINS[ROWS], -SIGNS, REQUIRED)
    flipped = influence.influence(aligned, flipped_weights, ROWS)
    as_labelled = influence.influence(aligned, WEIGHTS, ROWS)
    effect = influence.flip_effect(aligned, WEIGHTS, flipped_weights, ROWS)
    torch.testing.assert_close(effect, flipped - as_labelled)


def test_without_a_required_margin_a_flip_changes_the_weight_by_the_sign():
    none = torch.zeros(N, dtype=torch.float64)
    weights = curvature.loss_weights(MARGINS[ROWS], SIGNS, none)
    flipped = curvature.loss_weights(MARGINS[ROWS], -SIGNS, none)
    torch.testing.assert_close(flipped - weights, SIGNS)


def test_positive_influence_means_that_a_step_on_the_label_raises_the_query_loss():
    # Linear reward: margin = theta . s. One gradient step on each label alone.
    theta = normal(3, K)
    margins = SKETCHES @ theta
    none = torch.zeros(N, dtype=torch.float64)
    weights = curvature.loss_weights(margins[ROWS], SIGNS, none)
    query = normal(4, 4, K)

    def query_loss(parameters):
        return torch.nn.functional.softplus(-(query @ parameters)).mean()

    ones = torch.ones(4, dtype=torch.float64)
    v = curvature.loss_weights(query @ theta, ones, 0 * ones) @ query / 4
    scores = influence.influence(SKETCHES @ v[:, None], weights, ROWS)[:, 0]
    step = 1e-6
    for i in range(N):
        grad = weights[i] * SKETCHES[ROWS[i]]
        change = (query_loss(theta - step * grad) - query_loss(theta)) / step
        torch.testing.assert_close(scores[i], change, rtol=1e-4, atol=1e-7)
