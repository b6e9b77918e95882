"""Best scale of margins."""

import numpy as np
import pytest
import torch

from inflib.numerics.label_means import LabelMargins


def sure(margins):
    ones = torch.ones(len(margins), dtype=torch.float64)
    return LabelMargins(torch.from_numpy(margins), 0 * ones, ones, ones)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_best_scale_is_the_one_that_labels_were_drawn_with(scale):
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=50_000)
    agrees = rng.random(50_000) < 1 / (1 + np.exp(-scale * rewards))
    margins = np.where(agrees, rewards, -rewards)
    assert sure(margins).best_scale == pytest.approx(scale, rel=0.05)
    assert sure(margins).accuracy == (margins > 0).mean()


def test_the_best_scale_of_a_model_that_is_always_right_is_the_largest():
    assert sure(np.array([1.0, 2.0])).best_scale > 9.9


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_refined_loss_knows_no_scale(scale):
    rng = np.random.default_rng(0)
    margins = rng.normal(0.5, 1, 500)
    whole = sure(margins)
    assert sure(scale * margins).refined_loss == pytest.approx(
        whole.refined_loss, rel=1e-6
    )
    assert whole.refined_loss <= whole.loss
