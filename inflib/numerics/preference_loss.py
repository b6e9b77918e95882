"""Margins and targets of labels to their loss and its derivatives in the margin.

    n  labels

A label has a sign z (+1: response a of its comparison was chosen, -1: b), a target p in
[0, 1], the probability that the chosen response is the better one (1: surely; 0.5: a
tie; k/n: k of n votes), a weight w >= 0 and a required margin c, 0 in the plain
Bradley-Terry loss. With m = r(a) - r(b) and the excess e = z m - c its loss is

    l = -w [p log sigmoid(e) + (1 - p) log sigmoid(-e)],

the cross-entropy of Bradley & Terry's model with a soft target (Christiano et al.,
"Deep reinforcement learning from human preferences", NeurIPS 2017, arXiv:1706.03741,
section 2.2.3). Its loss gradient is g = d s, s being the gradient of m and d = dl/dm =
-w (p sigmoid(-e) - (1 - p) sigmoid(e)) z. A flipped label has the other sign, with the
same p, w and c. The functions here leave out w and z: theirs is the loss for w = 1 in
the excess e. With p = 1 they are those of -log sigmoid(e), to the bit.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def losses(
    excess: Float[Tensor, " n"], targets: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """-[p log sigmoid(e) + (1 - p) log sigmoid(-e)] of each label, in nats."""
    softplus = torch.nn.functional.softplus
    return targets * softplus(-excess) + (1 - targets) * softplus(excess)


def derivatives(
    excess: Float[Tensor, " n"], targets: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Derivative of each label's loss in e: sigmoid(e) - p, without cancellation where
    the label is sure and the model agrees."""
    agrees = (1 - targets) * torch.sigmoid(excess)
    return -(targets * torch.sigmoid(-excess) - agrees)


def second_derivatives(excess: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Second derivative of each label's loss in e, whatever the target is; at most
    1/4."""
    return torch.sigmoid(excess) * torch.sigmoid(-excess)
