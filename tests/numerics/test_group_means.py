"""Means of very unequal groups: errors, coverage of intervals, spread of groups."""

import numpy as np
import pytest
from scipy import stats

from inflib.numerics.group_means import Groups, differences, shrink

SHARES = np.full(10, 0.1)
UNEQUAL = np.array([400, 200, 100, 50, 25, 12, 6, 3, 2, 1]) / 799
FIVE = np.array([5000, 40, 20, 10, 5])


def many(rng):
    """Sizes of 30 groups: one has 5,000 labels, most have some tens, some a single."""
    rest = np.exp(rng.normal(3, 1.4, 29)).round().clip(1, 5000)
    return np.array([5000, *rest]).astype(int)


def votes(rng):
    """Sizes as in public votes: most people have one to four labels."""
    return np.concatenate([rng.integers(1, 5, 300), rng.integers(10, 300, 30), [2000]])


def simulated(rng, sizes, means, query_noise=0.0, shares=SHARES):
    """(group of each label, influences, shares) as `Groups.of` takes them: labels
    differ by unit noise and by noise of each query group, of which a part is common to
    all labels of a group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    scores = means[groups] + rng.normal(size=len(groups))
    cells = 0.1 * rng.normal(size=(len(groups), len(shares)))
    draws = query_noise * rng.normal(size=len(shares))
    of_group = rng.normal(size=(len(sizes), 1)) * draws
    noise = (cells + of_group[groups]) * np.sqrt(shares)
    return groups, scores[:, None] * shares + noise, shares


def true_harm(sizes, means):
    total = (sizes * means).sum()
    return means - (total - sizes * means) / (sizes.sum() - sizes)


def test_of_two_large_groups_the_test_is_welchs():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], [3000, 5000])
    scores = rng.normal(size=8000) * (1 + groups)
    estimate = differences(Groups.of(groups, scores[:, None] * SHARES, SHARES))
    welch = stats.ttest_ind(scores[groups == 0], scores[groups == 1], equal_var=False)
    statistic = estimate.harm / np.sqrt(estimate.variance)
    # The variances are moderated: by a few of thousands of degrees of freedom.
    assert statistic == pytest.approx([welch.statistic, -welch.statistic], rel=0.01)


def test_estimates_are_sums_over_groups_with_the_stated_weights():
    """`_over_groups` against the weights written out."""
    rng = np.random.default_rng(0)
    sizes = np.array([50, 7, 3, 1])
    numbers, influences, _ = simulated(rng, sizes, rng.normal(size=4))
    groups = Groups.of(numbers, influences, SHARES)
    own, pooled = rng.random(4), np.array([0.4, 0.3, 0.2, 0.1])
    others = sizes / (sizes.sum() - sizes)[:, None] * (1 - np.eye(4))
    weights = np.diag(own) + (1 - own)[:, None] * pooled - others
    variances = rng.random(4)
    exact = weights**2 @ variances
    np.testing.assert_allclose(groups._over_groups(variances, own, pooled), exact)
    expected = weights @ groups.parts.sum(1)
    np.testing.assert_allclose(groups.estimate(own, pooled).harm, expected)


@pytest.mark.parametrize(
    ("sizes_of", "trials", "query_noise", "shares"),
    [
        pytest.param(lambda rng: FIVE, 200, 0.0, SHARES, marks=pytest.mark.slow),
        (many, 60, 0.0, SHARES),
        (many, 60, 0.3, SHARES),
        (many, 60, 0.3, UNEQUAL),
        (votes, 15, 0.1, SHARES),
    ],
)
def test_intervals_cover_and_the_spread_is_found(sizes_of, trials, query_noise, shares):
    rng = np.random.default_rng(5)
    covered, spreads, tau = [], [], 0.5
    for _ in range(trials):
        sizes = sizes_of(rng)
        means = rng.normal(0, tau, len(sizes))
        shown, spread = shrink(
            Groups.of(*simulated(rng, sizes, means, query_noise, shares))
        )
        half_width = stats.t.ppf(0.975, shown.freedom) * np.sqrt(shown.variance)
        missed = np.abs(shown.harm - true_harm(sizes, means))
        covered.append((missed < half_width).mean())
        spreads.append(spread.reml**2)
    assert 0.90 < np.mean(covered) < 0.98
    # REML of a variance, cut off at 0; 4 standard errors.
    assert abs(np.mean(spreads) - tau**2) < 4 * np.std(spreads) / trials**0.5


def test_labels_on_one_prompt_may_all_say_the_same():
    """Counted as independent, 70% of the intervals hold."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(60):
        sizes = many(rng)
        means = rng.normal(0, 0.3, 30)
        numbers, influences, _ = simulated(rng, sizes, means)
        of_prompt = np.exp(rng.normal(1.5, 1, len(numbers))).round().clip(1).astype(int)
        prompts = np.repeat(np.arange(len(numbers)), of_prompt)[: len(numbers)]
        shared = rng.normal(size=(30, prompts.max() + 1))[numbers, prompts]
        influences = influences + shared[:, None] * SHARES
        shown, _ = shrink(Groups.of(numbers, influences, SHARES, prompts))
        half_width = stats.t.ppf(0.975, shown.freedom) * np.sqrt(shown.variance)
        missed = np.abs(shown.harm - true_harm(sizes, means))
        covered.append((missed < half_width).mean())
    assert 0.90 < np.mean(covered) < 0.98


def test_small_groups_are_drawn_to_the_average_group_and_never_to_the_largest():
    rng = np.random.default_rng(0)
    sizes = np.array([5000, *[300] * 10, 1])
    means = np.array([0.0, *rng.normal(1, 0.1, 10), 1.0])
    groups = Groups.of(*simulated(rng, sizes, means))
    shown, plain = shrink(groups)[0], differences(groups)
    typical = np.median(plain.harm[1:11])
    assert abs(shown.harm[-1] - typical) < 0.2 * abs(plain.harm[-1] - typical)
    assert shown.harm[0] == pytest.approx(plain.harm[0], rel=0.05)


def test_one_label_says_next_to_nothing():
    """Its interval holds the spread between labels, not the query set's error alone."""
    rng = np.random.default_rng(0)
    sizes = np.array([1, 1, 500, 500, 500])
    groups = Groups.of(*simulated(rng, sizes, np.zeros(5)))
    assert (np.sqrt(differences(groups).variance[:2]) > 0.9).all()


def test_two_groups_are_not_shrunk():
    rng = np.random.default_rng(0)
    groups = Groups.of(*simulated(rng, np.array([60, 90]), np.arange(2.0)))
    shown, plain = shrink(groups)[0], differences(groups)
    np.testing.assert_allclose(shown.harm, plain.harm, rtol=0.1)
    assert shown.variance == pytest.approx(plain.variance, rel=0.2)


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_units_do_not_matter(scale):
    rng = np.random.default_rng(0)
    numbers, influences, _ = simulated(rng, FIVE, rng.normal(size=5))
    shown, _ = shrink(Groups.of(numbers, influences, SHARES))
    scaled, _ = shrink(Groups.of(numbers, influences * scale, SHARES))
    np.testing.assert_allclose(scaled.harm, shown.harm * scale, rtol=1e-6)
    np.testing.assert_allclose(scaled.variance, shown.variance * scale**2, rtol=1e-6)


def test_equal_influences_have_no_harm_and_no_error():
    groups = Groups.of(np.array([0, 0, 1, 1, 2]), np.full((5, 10), 0.1), SHARES)
    shown, _ = shrink(groups)
    np.testing.assert_allclose(shown.harm, 0, atol=1e-12)
    np.testing.assert_allclose(shown.variance, 0, atol=1e-12)
