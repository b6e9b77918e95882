"""Weights and norms of labels to the curvature H of their loss.

    n  labels     k  entries of a sketch     q  query vectors

Label i counts w_i times, its weight, and n is the sum of the weights. Its loss gradient
is w_i g_i with g_i = d_i s_i: d_i is the derivative of its loss for w = 1 in the margin
(numerics.preference_loss), s_i the margin gradient of its comparison. All H are linear
in the weights, as the loss is: a label of weight 2 is two labels of weight 1.

identity          H = I: influence is the plain gradient dot product.
empirical_fisher  H = 1/n sum_i w_i g_i g_i^T
gauss_newton      H = 1/n sum_i w_i h_i s_i s_i^T, h being the loss's second derivative
                  in the margin, sigmoid(e) sigmoid(-e) whatever the target (Martens,
                  "New insights and perspectives on the natural gradient method", JMLR
                  2020, arXiv:1412.1193, section 8)
datainf           Kwon et al., "DataInf", ICLR 2024, arXiv:2310.00902, Eq. (5):
                  H^-1 v ~ 1/(n lambda) sum_i w_i (v - g_i (g_i . v) / (lambda +
                  |g_i|^2))
datainf_layer     the same with a block-diagonal H, a block for each layer

With gauss_newton k of n votes for a response may be n labels or one with target k/n and
weight n: the influence of the one is the sum of those of the n. empirical_fisher and
datainf see gradients of labels, which cancel in a label with a soft target.

empirical_fisher and gauss_newton are solved with H + lambda I by conjugate gradients
(numerics.conjugate_gradients). lambda = damping * trace(H); the trace is mean |g|^2 for
empirical_fisher and mean h |s|^2 for gauss_newton, means being weighted. DataInf's
lambda is a squared gradient *entry*: datainf_damping * mean |g|^2 / D, D being the
number of parameters (with K, the sketch size, it would be D / K times larger);
datainf_layer takes mean |g|^2 and D of each layer by itself.
Departures: inner products come from sketches, |g_i|^2 is the exact squared norm; the
papers' labels all have weight 1.
"""

from jaxtyping import Float
from torch import Tensor


def datainf_coefficients(
    derivatives: Float[Tensor, " n"], sq_norms: Float[Tensor, " n"], lam: float
) -> Float[Tensor, " n"]:
    """d^2 / (lambda + d^2 |s|^2) of each label; derivatives: d; sq_norms: |s|^2.

    With coefficient_c the sum of these, each times its label's weight, over the labels
    of comparison c, DataInf's sum over labels, sum_i w_i g_i (g_i . v) / (lambda +
    |g_i|^2), is the sum over comparisons sum_c coefficient_c s_c (s_c . v).
    """
    squares = derivatives.square()
    return squares / (lam + squares * sq_norms)


def datainf_ihvp(
    vectors: Float[Tensor, "k q"],
    products: Float[Tensor, "k q"],
    num_labels: float,
    lam: float,
) -> Float[Tensor, "k q"]:
    """DataInf's H^-1 v of each vector v, by Eq. (5).

    products: sum_c coefficient_c s_c (s_c . v) over all comparisons; num_labels: n, the
    sum of the labels' weights. With lam 0, which means that all gradients of a layer
    are zero, v itself: its inner products with those gradients are zero whatever it is.
    """
    if lam == 0:
        return vectors
    return (vectors - products / num_labels) / lam
