"""DataInf's closed form, with weights; what influence and flips mean."""

import pytest
import torch

from inflib.numerics import curvature, influence, preference_loss

C, N, K, Q = 9, 13, 7, 3  # distinct sizes: a transposed result cannot pass


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


SKETCHES, MARGINS, VECTORS = normal(0, C, K), normal(1, C), normal(2, K, Q)
ROWS = torch.tensor([0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8])
SIGNS = torch.tensor([1, -1, 1, 1, -1, 1, 1, -1, 1, -1, 1, 1, -1], dtype=torch.float64)
SQ_NORMS = SKETCHES.square().sum(1)
TARGETS = torch.linspace(0, 1, N, dtype=torch.float64)
COUNTS = torch.tensor([1, 2, 1, 3, 1, 1, 0, 2, 1, 1, 4, 1, 1], dtype=torch.float64)
SLOPES = SIGNS * preference_loss.derivatives(SIGNS * MARGINS[ROWS] - 0.2, TARGETS)
GRADS = SLOPES[:, None] * SKETCHES[ROWS]


@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
def test_datainf_equals_the_weighted_mean_of_dense_inverses(lam):
    eye = torch.eye(K, dtype=torch.float64)
    inverses = [torch.linalg.inv(torch.outer(g, g) + lam * eye) for g in GRADS]
    terms = curvature.datainf_coefficients(SLOPES, SQ_NORMS[ROWS], lam)
    coefficients = influence.by_comparison(COUNTS * terms, ROWS, C)
    products = SKETCHES.T @ (coefficients[:, None] * (SKETCHES @ VECTORS))
    ihvps = curvature.datainf_ihvp(VECTORS, products, float(COUNTS.sum()), lam)
    weighted = sum(w * inverse for w, inverse in zip(COUNTS, inverses, strict=True))
    torch.testing.assert_close(ihvps, weighted / COUNTS.sum() @ VECTORS)


def test_datainf_without_gradients_leaves_the_vector():
    zero = torch.zeros_like(VECTORS)
    assert curvature.datainf_ihvp(VECTORS, zero, float(N), 0.0) is VECTORS


def test_derivatives_by_comparison_give_the_sum_of_loss_gradients():
    sums = influence.by_comparison(SLOPES, ROWS, C)
    torch.testing.assert_close(sums @ SKETCHES, GRADS.sum(0))


def test_flip_effect_is_influence_of_the_flipped_label_minus_as_labelled():
    aligned = SKETCHES @ VECTORS
    flipped_excess = -SIGNS * MARGINS[ROWS] - 0.2
    flipped_slopes = -SIGNS * preference_loss.derivatives(flipped_excess, TARGETS)
    flipped = influence.influence(aligned, flipped_slopes, ROWS)
    as_labelled = influence.influence(aligned, SLOPES, ROWS)
    effect = influence.flip_effect(aligned, SLOPES, flipped_slopes, ROWS)
    torch.testing.assert_close(effect, flipped - as_labelled)


def test_positive_influence_means_that_a_step_on_the_label_raises_the_query_loss():
    # Linear reward: margin = theta . s. One gradient step on each label alone.
    theta = normal(3, K)
    excess = SIGNS * (SKETCHES @ theta)[ROWS]
    slopes = SIGNS * preference_loss.derivatives(excess, TARGETS)
    query = normal(4, 4, K)

    def query_loss(parameters):
        return torch.nn.functional.softplus(-(query @ parameters)).mean()

    sure = torch.ones(4, dtype=torch.float64)
    v = preference_loss.derivatives(query @ theta, sure) @ query / 4
    scores = influence.influence(SKETCHES @ v[:, None], slopes, ROWS)[:, 0]
    step = 1e-6
    for i in range(N):
        grad = slopes[i] * SKETCHES[ROWS[i]]
        change = (query_loss(theta - step * grad) - query_loss(theta)) / step
        torch.testing.assert_close(scores[i], change, rtol=1e-4, atol=1e-7)
