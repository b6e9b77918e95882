"""Sums of all tasks: the same bits wherever they are computed, few at the same time."""

import weakref

import numpy as np
import pytest
import torch

from inflib.scores.executor import FAN_IN, tree_sum

ALIVE: "weakref.WeakSet[Part]" = weakref.WeakSet()


class Part:
    """A part of a sum, of which we know how many there are."""

    def __init__(self, values):
        self.values = values
        ALIVE.add(self)


def joined(parts):
    assert 1 < len(parts) <= 2 * FAN_IN
    return Part([value for part in parts for value in part.values])


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 64, 65, 200, 513])
def test_every_value_is_added_once_and_in_order(count):
    total = tree_sum((Part([i]) for i in range(count)), joined)
    assert total.values == list(range(count))


def test_few_values_are_held_at_the_same_time():
    most = 0

    def parts():
        nonlocal most
        for i in range(1000):
            yield Part([i])
            most = max(most, len(ALIVE))

    tree_sum(parts(), joined)
    assert most <= 4 * FAN_IN  # four levels; all thousand without a tree


def test_the_sum_is_closer_than_that_of_one_after_the_other():
    values = torch.rand(4096, dtype=torch.float32, generator=torch.Generator())
    exact = values.double().sum()
    tree = tree_sum(list(values), lambda parts: torch.stack(parts).sum(0))
    assert abs(tree - exact) <= abs(np.cumsum(values.numpy())[-1] - exact)
