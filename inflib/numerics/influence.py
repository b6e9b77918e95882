"""Influence and flip effect of labels. Pure tensor math.

    c  comparisons     n  labels     k  entries of a sketch     q  query vectors

Influence of label i on query set j is -v_j^T H^-1 g_i: positive when up-weighting the
label raises the query loss, so that it is harmful (Koh & Liang, ICML 2017,
arXiv:1703.04730, Eq. (2)). The flip effect is influence of the flipped label minus
influence as labelled: negative when the flip lowers the query loss.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def by_comparison(
    terms: Float[Tensor, " n"], rows: Int[Tensor, " n"], num_comparisons: int
) -> Float[Tensor, " c"]:
    """Sum of the labels' terms, for each comparison.

    Of loss weights: then `sums @ sketches` is the sum of all loss gradients, n times
    the query vector v.
    """
    return torch.zeros(num_comparisons, dtype=terms.dtype).index_add_(0, rows, terms)


def influence(
    alignments: Float[Tensor, "c q"],
    weights: Float[Tensor, " n"],
    rows: Int[Tensor, " n"],
) -> Float[Tensor, "n q"]:
    """Influence of each label; alignments are s_c . H^-1 v_j."""
    return -weights[:, None] * alignments[rows]


def flip_effect(
    alignments: Float[Tensor, "c q"],
    weights: Float[Tensor, " n"],
    flipped: Float[Tensor, " n"],
    rows: Int[Tensor, " n"],
) -> Float[Tensor, "n q"]:
    """Influence of the flipped label minus influence as labelled.

    weights, flipped: loss weights as labelled and with the sign changed. Without a
    required margin they differ by the sign z: the effect is -z s . H^-1 v.
    """
    return influence(alignments, flipped - weights, rows)
