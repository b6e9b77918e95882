"""Who is worse than the others, by ranks of influence and fair margins: false
discoveries and power where sizes, difficulty and clusters are most unequal; and what
each labeler prefers given quality, in the same data."""

import numpy as np
import pytest
from scipy.special import expit

from inflib.numerics.labeler_model import chosen_odds, error_rates
from inflib.numerics.labeler_preferences import weights_given_quality
from inflib.numerics.pooled_harm import pooled_tests, suspicion
from inflib.numerics.uncertainty import discover

BAD = np.arange(30) % 10 == 1


class World:
    """Labels of 30 labelers, one of whom gave 5,000; a labeler's labels come in prompts
    of three, half of which have one fate; comparisons are harder for some labelers;
    influences have a log-normal's tails."""

    def __init__(self, rng, rates, likes):
        """rates: of error; likes: share of labels for the longer response."""
        rest = np.exp(rng.normal(3, 1.4, 29)).round().clip(10, 5000)
        sizes = np.array([5000, *rest]).astype(int)
        sizes[BAD] = np.maximum(sizes[BAD], 150)
        self.labelers = np.repeat(np.arange(30), sizes)
        n = len(self.labelers)
        self.prompts = np.arange(n) // 3
        easy = np.exp(rng.normal(0, 0.7, 30))[self.labelers]
        of_first, length = easy * rng.normal(size=n), rng.normal(size=n)
        length += 0.4 * of_first / easy
        truth = np.where(rng.random(n) < expit(0.8 * of_first), 1, -1)
        common = rng.random(self.prompts.max() + 1)[self.prompts]
        dice = np.where(rng.random(n) < 0.5, common, rng.random(n))
        choice = np.where(dice < rates[self.labelers], -truth, truth)
        for_longer = rng.random(n) < likes[self.labelers]
        self.choice = np.where(for_longer, np.sign(length), choice).astype(float)
        noise = rng.normal(size=(2, n)) - 0.6 * self.choice * truth
        self.influences = (noise * np.exp(rng.normal(0, 1.5, n))).T
        self.margins, self.longer = self.choice * of_first, self.choice * length

    def rates(self):
        alone = np.arange(len(self.labelers))
        nobody = np.zeros(0)
        return error_rates(
            self.labelers, alone, self.choice, self.margins, self.prompts, nobody
        )


def discoveries(p_values, null):
    found = discover(p_values, 0.1)
    return (found & null).sum() / max(1, found.sum()), found[~null]


@pytest.mark.slow  # simulations of many data sets
@pytest.mark.parametrize(
    ("rate", "use", "least"),
    [(0.1, "both", None), (0.45, "both", 0.7), (0.45, "influence", 0.7)],
)
def test_those_who_err_are_found_at_the_false_discovery_rate(rate, use, least):
    rng = np.random.default_rng(1)
    false_shares, found = [], []
    null = ~BAD if least else np.ones(30, bool)
    for _ in range(30):
        world = World(rng, np.where(BAD, rate, 0.1), np.zeros(30))
        odds, typical = None, 0.0
        if use == "both":
            rates = world.rates()
            odds, typical = rates.odds, rates.typical
        values = suspicion(world.influences, odds, typical)
        _, p_values = pooled_tests(world.labelers, values, world.prompts)
        false, right = discoveries(p_values, null)
        false_shares.append(false)
        found.append(right)
    assert np.mean(false_shares) < 0.1 + 4 * np.std(false_shares) / 30**0.5
    assert least is None or np.mean(found) > least


@pytest.mark.slow  # simulations of many data sets
@pytest.mark.parametrize(("likes", "rate"), [(0.0, 0.4), (0.5, 0.1)])
def test_preferences_are_told_from_errors(likes, rate):
    """Who errs more is not said to prefer anything; who chooses the longer response on
    half of their labels is found."""
    rng = np.random.default_rng(2)
    false_shares, found = [], []
    null = ~BAD if likes else np.ones(30, bool)
    for _ in range(20):
        world = World(rng, np.where(BAD, rate, 0.1), np.where(BAD, likes, 0.0))
        traits = np.column_stack([chosen_odds(world.rates()), world.longer])
        weights = weights_given_quality(world.labelers, world.prompts, traits, 1)
        false, right = discoveries(weights.p_value[:, 1], null)
        false_shares.append(false)
        found.append(right)
        assert (weights.low < weights.weight).all()
        assert (weights.weight < weights.high).all()
    assert np.mean(false_shares) < 0.1 + 4 * np.std(false_shares) / 20**0.5
    assert not likes or np.mean(found) > 0.5
    assert not likes or weights.weight[BAD, 1].min() > np.median(weights.weight[:, 1])


def test_weights_are_covered_by_their_intervals():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(20):
        sizes = np.array([5000, *np.exp(rng.normal(3.5, 1, 29)).round().clip(1)])
        labelers = np.repeat(np.arange(30), sizes.astype(int))
        true = np.array([1.0, 0.3]) + rng.normal(size=(30, 2)) * [0.3, 0.5]
        values = rng.normal(size=(len(labelers), 2))
        values[:, 1] += 0.5 * values[:, 0]
        values /= np.sqrt((values**2).mean(0))
        up = rng.random(len(labelers)) < expit((values * true[labelers]).sum(1))
        values *= np.where(up, 1, -1)[:, None]
        found = weights_given_quality(labelers, np.arange(len(labelers)), values, 1)
        covered.append((found.low < true) & (true < found.high))
    assert 0.90 < np.mean(covered) < 0.98


def test_only_ranks_of_influence_count_in_each_query_set():
    rng = np.random.default_rng(0)
    influences = rng.normal(size=(200, 2))
    values = suspicion(influences, None, 0.0)
    stretched = np.sign(influences) * np.abs(influences) ** 3 * [1e-6, 1e6]
    np.testing.assert_allclose(suspicion(stretched, None, 0.0), values)
    np.testing.assert_allclose(suspicion(-influences, None, 0.0), -values)
    none = suspicion(influences[:, :0], None, 0.0)
    _, p_values = pooled_tests(np.arange(200) % 4, none, np.arange(200))
    assert (p_values == 0.5).all()
