"""Inverse-Hessian products as sums over comparisons. Pure tensor math.

    c  comparisons     n  labels     k  entries of a sketch     q  query vectors

A label with sign z on a comparison with margin m and margin gradient s has loss
-log sigmoid(z m - c) and loss gradient g = w s, with weight w = -sigmoid(c - z m) z; c
is the margin that the label requires, 0 in the plain Bradley-Terry loss. Damping
lambda is a squared gradient entry: scale * mean |g|^2 / D, D being the number of
*parameters* (with K, the sketch size, it would be D / K times larger).

`identity` takes H = I: influence is the plain gradient dot product. `datainf` is the
closed form of Kwon et al., "DataInf", ICLR 2024, arXiv:2310.00902, Eq. (5), with all
parameters as one block:

    H^-1 v ~ 1/(n lambda) sum_i (v - g_i (g_i . v) / (lambda + |g_i|^2))

Departure: inner products come from sketches, |g_i|^2 is the exact norm.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def loss_weights(
    margins: Float[Tensor, " n"],
    signs: Float[Tensor, " n"],
    required: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """w of each label: loss gradient = w * margin gradient of its comparison."""
    return -torch.sigmoid(required - signs * margins) * signs


def damping(mean_square: float, num_parameters: int, scale: float) -> float:
    """lambda, from the mean over labels of |g|^2."""
    return scale * mean_square / num_parameters


def datainf_coefficients(
    weights: Float[Tensor, " n"], sq_norms: Float[Tensor, " n"], lam: float
) -> Float[Tensor, " n"]:
    """w^2 / (lambda + w^2 |s|^2) of each label.

    Summed by comparison, sum_i g_i (g_i . v) / (lambda + |g_i|^2) over labels is
    sum_c coefficient_c s_c (s_c . v).
    """
    squares = weights.square()
    return squares / (lam + squares * sq_norms)


def weighted_products(
    sketches: Float[Tensor, "c k"],
    coefficients: Float[Tensor, " c"],
    vectors: Float[Tensor, "k q"],
) -> Float[Tensor, "k q"]:
    """sum_c coefficient_c s_c (s_c . v) for each vector v; sums add over shards."""
    return sketches.T @ (coefficients[:, None] * (sketches @ vectors))


def datainf_ihvp(
    vectors: Float[Tensor, "k q"],
    products: Float[Tensor, "k q"],
    num_labels: int,
    lam: float,
) -> Float[Tensor, "k q"]:
    """H^-1 v, given the `weighted_products` of all comparisons."""
    return (vectors - products / num_labels) / lam
