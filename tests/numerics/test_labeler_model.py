"""Error rates of labelers: coverage with very unequal sizes, one label or several on a
comparison, errors that go together; what does not depend on units."""

import numpy as np
import pytest
from scipy.special import expit

from inflib.numerics.labeler_model import error_rates

NOBODY = np.zeros(0)


def simulated(rng, sizes, rates, on_each=1, on_prompt=1, together=0.0, trusted=0):
    """(labelers, comparisons, signs, margins, prompts, trusted) as `error_rates` takes
    them, which labels are wrong): the model's margins should be twice as large.

    on_each: labels on a comparison; on_prompt: labels of a labeler on a prompt, which
    are wrong together with probability `together`.
    """
    labelers = np.repeat(np.arange(len(sizes)), sizes)
    prompts = np.arange(len(labelers)) // on_prompt
    dice = rng.random(len(labelers))
    common = rng.random(prompts.max() + 1)[prompts]
    dice = np.where(rng.random(len(labelers)) < together, common, dice)
    wrong = dice < rates[labelers]
    comparisons = rng.permutation(len(labelers)) // on_each
    of_first = rng.normal(0, 1.5, comparisons.max() + 1)
    truth = np.where(rng.random(len(of_first)) < expit(of_first), 1, -1)
    signs = np.where(wrong, -1.0, 1.0) * truth[comparisons]
    known = rng.normal(0, 1.5, trusted)
    known *= np.where(rng.random(trusted) < expit(known), 1, -1)
    margins = signs * of_first[comparisons] / 2
    return (labelers, comparisons, signs, margins, prompts, known / 2), wrong


def unequal(rng):
    rest = np.exp(rng.normal(3.5, 1.2, 24)).round().clip(1)
    return np.array([5000, *rest]).astype(int)


@pytest.mark.parametrize(
    ("trials", "options"),
    [
        (40, {"trusted": 300}),
        (40, {}),
        (40, {"on_prompt": 5, "together": 0.7}),
        (6, {"on_each": 3, "trusted": 300}),
        pytest.param(16, {"on_each": 3}, marks=pytest.mark.slow),
    ],
)
def test_intervals_cover_and_the_slope_is_found(trials, options):
    """At least one in 200 is the width of the grid."""
    rng = np.random.default_rng(0)
    covered, slopes, called, wrongs = [], [], [], []
    for _ in range(trials):
        rates = rng.beta(1.5, 7, 25)
        data, wrong = simulated(rng, unequal(rng), rates, **options)
        found = error_rates(*data)
        inside = (found.low <= rates + 0.0025) & (rates - 0.0025 <= found.high)
        covered.append(inside.mean())
        slopes.append(found.slope)
        called.append(found.wrong.mean())
        wrongs.append(wrong.mean())
    error = np.std(covered) / trials**0.5
    assert 0.90 < np.mean(covered) < 0.98 + 4 * error
    assert np.mean(slopes) == pytest.approx(2, abs=4 * np.std(slopes) / trials**0.5)
    gaps = np.array(called) - wrongs
    assert abs(gaps.mean()) < 4 * gaps.std() / trials**0.5


def test_labels_are_called_wrong_as_often_as_they_are():
    rng = np.random.default_rng(1)
    data, wrong = simulated(rng, np.full(20, 500), rng.beta(2, 8, 20), on_each=3)
    found = error_rates(*data)
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1)):
        inside = (low <= found.wrong) & (found.wrong < high)
        expected = found.wrong[inside]
        error = np.sqrt((expected * (1 - expected)).mean() / inside.sum())
        assert abs(wrong[inside].mean() - expected.mean()) < 4 * error + 0.01


def test_with_no_word_of_the_model_one_labeler_is_told_from_others_by_agreement():
    rng = np.random.default_rng(2)
    rates = np.array([0.4, *np.full(9, 0.1)])
    data, _ = simulated(rng, np.full(10, 300), rates, on_each=3)
    labelers, comparisons, signs, margins, prompts, _ = data
    found = error_rates(labelers, comparisons, signs, 0 * margins, prompts, NOBODY)
    assert found.high[1:].max() < found.low[0]
    alone = np.arange(len(labelers))
    found = error_rates(labelers, alone, signs, 0 * margins, prompts, NOBODY)
    assert np.ptp(found.rate) < 1e-6  # nothing tells them apart


def test_units_and_which_response_is_the_first_do_not_matter():
    rng = np.random.default_rng(3)
    sizes = np.arange(5, 125, 10)
    data, _ = simulated(rng, sizes, rng.beta(1.5, 7, 12), on_each=2, trusted=50)
    labelers, comparisons, signs, margins, prompts, trusted = data
    found = error_rates(*data)
    swapped = signs * rng.choice([-1, 1], comparisons.max() + 1)[comparisons]
    again = error_rates(
        labelers, comparisons, swapped, 100 * margins, prompts, 100 * trusted
    )
    np.testing.assert_allclose(again.rate, found.rate, rtol=1e-6)
    np.testing.assert_allclose(again.wrong, found.wrong, rtol=1e-6)
    assert again.slope == pytest.approx(found.slope / 100)
