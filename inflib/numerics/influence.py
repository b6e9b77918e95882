"""Products s . H^-1 v and loss derivatives to influence and flip effect of every label.

    c  comparisons     n  labels     k  entries of a sketch     q  query vectors

A label's loss gradient is g = d s, with the derivative d of its loss in the margin,
which has the label's weight as a factor (numerics.preference_loss), and the margin
gradient s of its comparison. Influence of label i on query set j is
-v_j^T H^-1 g_i: positive when up-weighting the label raises the query loss, so that it
is harmful (Koh & Liang, ICML 2017, arXiv:1703.04730, Eq. (2)). The flip effect is
influence of the flipped label minus influence as labelled: negative when the flip
lowers the query loss; 0 for a tie (target 0.5) without a required margin.

`rows` says which comparison each label is on.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def by_comparison(
    terms: Float[Tensor, " n"], rows: Int[Tensor, " n"], num_comparisons: int
) -> Float[Tensor, " c"]:
    """Sum of `terms` over the labels of each comparison; 0 for one without labels.

    With derivatives as terms, `sums @ sketches` is the sum of all labels' loss
    gradients.
    """
    return torch.zeros(num_comparisons, dtype=terms.dtype).index_add_(0, rows, terms)


def influence(
    alignments: Float[Tensor, "c q"],
    derivatives: Float[Tensor, " n"],
    rows: Int[Tensor, " n"],
) -> Float[Tensor, "n q"]:
    """Influence of each label on each query; alignments: s_c . H^-1 v_j."""
    return -derivatives[:, None] * alignments[rows]


def flip_effect(
    alignments: Float[Tensor, "c q"],
    derivatives: Float[Tensor, " n"],
    flipped: Float[Tensor, " n"],
    rows: Int[Tensor, " n"],
) -> Float[Tensor, "n q"]:
    """Influence of each label if flipped minus its influence as labelled.

    alignments: s_c . H^-1 v_j; derivatives, flipped: of the loss as labelled and with
    the sign changed. Without a required margin they differ by w (2p - 1) z, and the
    effect is -w (2p - 1) z s . H^-1 v.
    """
    return influence(alignments, flipped - derivatives, rows)
