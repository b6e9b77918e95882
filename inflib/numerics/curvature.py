"""Margins, signs and norms of labels to the curvature H of their loss.

    n  labels     k  entries of a sketch     q  query vectors

A label with sign z on a comparison with margin m and margin gradient s has loss
-log sigmoid(z m - c) and loss gradient g = w s, with weight w = -sigmoid(c - z m) z; c
is the margin that the label requires, 0 in the plain Bradley-Terry loss.

identity          H = I: influence is the plain gradient dot product.
empirical_fisher  H = 1/n sum_i g_i g_i^T
gauss_newton      H = 1/n sum_i h_i s_i s_i^T, h = sigmoid(z m - c) sigmoid(c - z m)
                  being the loss's second derivative in the margin (Martens, "New
                  insights and perspectives on the natural gradient method", JMLR
                  2020, arXiv:1412.1193, section 8)
datainf           Kwon et al., "DataInf", ICLR 2024, arXiv:2310.00902, Eq. (5):
                  H^-1 v ~ 1/(n lambda) sum_i (v - g_i (g_i . v) / (lambda + |g_i|^2))
datainf_layer     the same with a block-diagonal H, a block for each layer

empirical_fisher and gauss_newton are solved with H + lambda I by conjugate gradients
(numerics.conjugate_gradients). lambda = damping * trace(H); the trace is mean |g|^2 for
empirical_fisher and mean h |s|^2 for gauss_newton. DataInf's lambda is a squared
gradient *entry*: datainf_damping * mean |g|^2 / D, D being the number of parameters
(with K, the sketch size, it would be D / K times larger); datainf_layer takes mean
|g|^2 and D of each layer by itself.
Departure: inner products come from sketches, |g_i|^2 is the exact squared norm.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

WeightFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(margins, signs, required margins) of labels to a weight of each."""


def loss_weights(
    margins: Float[Tensor, " n"],
    signs: Float[Tensor, " n"],
    required: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """w = -sigmoid(c - z m) z of each label, the derivative of its loss in the margin.

    Its loss gradient is w times the margin gradient of its comparison.
    """
    return -torch.sigmoid(required - signs * margins) * signs


def hessian_weights(
    margins: Float[Tensor, " n"],
    signs: Float[Tensor, " n"],
    required: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """h of each label, the second derivative of its loss in the margin; at most 1/4."""
    excess = signs * margins - required
    return torch.sigmoid(excess) * torch.sigmoid(-excess)


def datainf_coefficients(
    weights: Float[Tensor, " n"], sq_norms: Float[Tensor, " n"], lam: float
) -> Float[Tensor, " n"]:
    """w^2 / (lambda + w^2 |s|^2) of each label; sq_norms: |s|^2.

    With coefficient_c the sum of these over the labels of comparison c, DataInf's sum
    over labels, sum_i g_i (g_i . v) / (lambda + |g_i|^2), is the sum over comparisons
    sum_c coefficient_c s_c (s_c . v).
    """
    squares = weights.square()
    return squares / (lam + squares * sq_norms)


def datainf_ihvp(
    vectors: Float[Tensor, "k q"],
    products: Float[Tensor, "k q"],
    num_labels: float,
    lam: float,
) -> Float[Tensor, "k q"]:
    """DataInf's H^-1 v of each vector v, by Eq. (5).

    products: sum_c coefficient_c s_c (s_c . v) over all comparisons. With lam 0, which
    means that all gradients of a layer are zero, v itself: its inner products with
    those gradients are zero whatever it is.
    """
    if lam == 0:
        return vectors
    return (vectors - products / num_labels) / lam
