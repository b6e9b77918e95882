"""Best scale of margins."""

import numpy as np
import pytest
import torch

from inflib.numerics.label_means import LabelMargins
from inflib.report.evidence import best_scale


def sure(margins):
    ones = torch.ones(len(margins), dtype=torch.float64)
    return LabelMargins(torch.from_numpy(margins), 0 * ones, ones, ones)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_best_scale_is_the_one_that_labels_were_drawn_with(scale):
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=50_000)
    agrees = rng.random(50_000) < 1 / (1 + np.exp(-scale * rewards))
    margins = np.where(agrees, rewards, -rewards)
    assert best_scale(sure(margins)) == pytest.approx(scale, rel=0.05)
    assert sure(margins).accuracy == (margins > 0).mean()


def test_the_best_scale_of_a_model_that_is_always_right_is_the_largest():
    assert best_scale(sure(np.array([1.0, 2.0]))) > 9.9
