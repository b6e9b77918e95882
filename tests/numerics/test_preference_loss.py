"""The loss of labels with targets, against torch's cross-entropy and autograd."""

import torch

from inflib.numerics import preference_loss
from inflib.numerics.label_means import LabelMargins

EXCESS = torch.linspace(-30, 30, 41, dtype=torch.float64)
TARGETS = torch.linspace(0, 1, 7, dtype=torch.float64)
EXCESSES, TARGET = (x.flatten() for x in torch.meshgrid(EXCESS, TARGETS, indexing="ij"))


def cross_entropy(excess, targets):
    """torch's own loss with soft targets."""
    return torch.nn.functional.binary_cross_entropy_with_logits(
        excess, targets, reduction="none"
    )


def test_the_loss_is_torchs_cross_entropy_with_soft_targets():
    losses = preference_loss.losses(EXCESSES, TARGET)
    torch.testing.assert_close(losses, cross_entropy(EXCESSES, TARGET))


def test_derivatives_are_autograds():
    excess = EXCESSES.clone().requires_grad_(True)
    loss = cross_entropy(excess, TARGET).sum()
    (first,) = torch.autograd.grad(loss, excess, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), excess)
    derivatives = preference_loss.derivatives(EXCESSES, TARGET)
    torch.testing.assert_close(derivatives, first, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(preference_loss.second_derivatives(EXCESSES), second)


def test_a_sure_label_has_the_bits_of_bradley_terry():
    sure = torch.ones_like(EXCESS)
    plain = torch.nn.functional.softplus(-EXCESS)
    assert torch.equal(preference_loss.losses(EXCESS, sure), plain)
    derivatives = preference_loss.derivatives(EXCESS, sure)
    assert torch.equal(derivatives, -torch.sigmoid(-EXCESS))
    # no cancellation where the model agrees: relative, not absolute, precision
    torch.testing.assert_close(derivatives[-1], -torch.exp(-EXCESS[-1]))


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def measured(margins, targets, weights, required=0.0):
    columns = (tensor(*values) for values in (margins, targets, weights))
    margins, targets, weights = columns
    return LabelMargins(margins, torch.full_like(margins, required), targets, weights)


def test_accuracy_counts_labels_once_zero_margins_half_and_ties_not_at_all():
    margins, targets = [2, -1, 0, 3, -4], [1, 1, 1, 0.5, 0.2]
    assert measured(margins, targets, [1, 5, 1, 1, 1]).accuracy == 2.5 / 4
    assert measured(margins, targets, [1, 0, 1, 1, 1]).accuracy == 2.5 / 3
    assert measured([1], [0.5], [1]).accuracy == 0


def test_mean_loss_and_margin_are_those_of_as_many_votes():
    # 3 of 4 votes for the chosen response; a label whose weight is 2
    one_label = measured([0.7, -1.2], [0.75, 1], [4, 2], required=0.3)
    votes = measured([0.7] * 3 + [0.7] + [-1.2] * 2, [1, 1, 1, 0, 1, 1], [1] * 6, 0.3)
    torch.testing.assert_close(one_label.loss, votes.loss)
    torch.testing.assert_close(one_label.margin, votes.margin)
    assert one_label.margin == (0.5 * 0.7 * 4 - 1.2 * 2) / 6


def test_a_plain_labels_means_are_plain():
    margins = [0.5, -0.25, 2.0]
    plain = measured(margins, [1, 1, 1], [1, 1, 1])
    expected = torch.nn.functional.softplus(-tensor(*margins)).mean()
    assert plain.loss == float(expected) and plain.margin == 2.25 / 3
    assert plain.accuracy == 2 / 3
