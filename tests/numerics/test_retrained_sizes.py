"""The size of predictions, from some retrainings: coverage in the awkward case."""

import numpy as np
import pytest

from inflib.numerics.retrained_sizes import left_out, size_of


def verified(rng, slope, err, noise, seeds=3, groups=4):
    """What `verify` retrains: two edits in every seed, two that are drawn for each
    seed, and groups with the first seed; predictions err by edits, losses by training.

    Predictions are of very different sizes. Returns predicted, losses, seeds, edits.
    """
    same = rng.normal(0, [1.0, 0.2])
    errors = rng.normal(0, err, 2)
    rows = []
    for seed in range(seeds):
        level = rng.normal()
        rows.append((0.0, level, seed, -1))
        for edit in range(2):
            rows.append((same[edit], level + errors[edit], seed, edit))
        for number in range(2):
            rows.append((rng.normal(0, 0.2), level, seed, 2 + 2 * seed + number))
        if seed == 0:
            for number in range(groups):
                rows.append((rng.normal(0, 0.5), level, seed, 100 + number))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    predicted, base, seeds_of, edits = columns
    drawn = {number: rng.normal(0, err) for number in set(edits[edits >= 2].tolist())}
    base = base + np.array([drawn.get(number, 0.0) for number in edits.tolist()])
    losses = base + slope * predicted + rng.normal(0, noise, len(rows))
    return predicted, losses, seeds_of, edits


@pytest.mark.parametrize(("err", "noise"), [(0.0, 0.3), (0.3, 0.3), (0.3, 0.1)])
@pytest.mark.parametrize("groups", [0, 8])
def test_intervals_cover_what_another_retraining_does(err, noise, groups):
    rng, trials = np.random.default_rng(0), 1000
    inside, slopes = [], []
    for _ in range(trials):
        size = size_of(*verified(rng, 4.0, err, noise, groups=groups))
        assert size is not None
        slopes.append(size.low <= 4.0 <= size.high)
        new = rng.normal(0, 0.5)
        actual = 4 * new + rng.normal(0, err) + rng.normal(0, noise, 2) @ [1, -1]
        _, low, high = size.expected(new)
        inside.append(low <= actual <= high)
    assert 0.90 <= np.mean(inside) <= 0.98
    assert 0.90 <= np.mean(slopes) <= 0.99


def test_the_line_is_that_of_least_squares_with_a_level_for_every_seed():
    predicted, losses, seeds, edits = verified(np.random.default_rng(1), 2, 0.1, 0.1)
    columns = np.column_stack([predicted, *(seeds == seed for seed in range(3))])
    (slope, *_), (square,), *_ = np.linalg.lstsq(columns, losses)
    size = size_of(predicted, losses, seeds, edits)
    assert size is not None
    assert size.slope == pytest.approx(slope)
    assert size.scatter == pytest.approx((square / (len(losses) - 4)) ** 0.5)


def test_nothing_is_said_by_two_edits_or_without_predictions():
    rng = np.random.default_rng(2)
    two = [0.0, 1.0, 2.0, 1.0, 2.0], rng.normal(size=5), [0] * 5, [-1, 0, 1, 0, 1]
    assert size_of(*map(np.array, two)) is None
    zero = [0.0] * 5, rng.normal(size=5), [0] * 5, [-1, 0, 1, 2, 3]
    assert size_of(*map(np.array, zero)) is None


def test_each_edit_is_foretold_by_the_others_alone():
    columns = verified(np.random.default_rng(3), 3.0, 0.1, 0.2, groups=5)
    predicted, losses, seeds, edits = columns
    found = left_out(*columns)
    assert found is not None
    inside = 0
    for i in np.flatnonzero(edits >= 0):
        rest = edits != edits[i]
        size = size_of(*(column[rest] for column in columns))
        assert size is not None
        before = losses[(edits < 0) & (seeds == seeds[i])]
        _, low, high = size.expected(predicted[i])
        inside += low <= losses[i] - before[0] <= high
    assert (found.trainings, found.inside) == ((edits >= 0).sum(), inside)
    assert 0 < found.sign <= found.clear < found.trainings
    wrong = left_out(-predicted, losses, seeds, edits)
    assert wrong is not None and wrong.inside == found.inside  # the slope turns, too


@pytest.mark.parametrize("groups", [4, 8])
def test_most_are_foretold_where_one_factor_holds_and_few_where_none_does(groups):
    rng = np.random.default_rng(4)
    holds, none = [], []
    for _ in range(300):
        columns = verified(rng, 4.0, 0.3, 0.3, groups=groups)
        found = left_out(*columns)
        assert found is not None
        holds.append(found.inside / found.trainings)
        predicted, losses, *rest = verified(rng, 4.0, 0.0, 0.1, groups=groups)
        factor = np.where(rng.uniform(size=len(losses)) < 0.5, 5.0, -5.0)
        spoilt = left_out(predicted, losses + factor * predicted, *rest)
        assert spoilt is not None
        none.append(spoilt.sign / max(1, spoilt.clear))
    assert 0.90 <= np.mean(holds) <= 0.98
    assert np.mean(none) < 0.85


def test_nothing_is_foretold_by_two_edits():
    two = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0], [0] * 4, [-1, 0, 1, 2]
    assert left_out(*map(np.array, two)) is None
