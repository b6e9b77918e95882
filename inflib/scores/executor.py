"""A stateless function over the shards of every task: who calls it, how to add.

`InThisProcess` is here, Ray tasks are in ray_jobs/shared/score_tasks.py. Both add in
the same tree, so both give the same bits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar, runtime_checkable

from inflib.data.pairs_folder import Shard
from inflib.scores.sketch_set import SketchSet

Sum = TypeVar("Sum")

FAN_IN = 8
"""Results that are added at a time. The sums of a pass over 10^6 labels have 44 MB for
each of some 250 tasks: with a tree, few of them exist at the same time."""


@dataclass(frozen=True)
class Work:
    """The calls of a pass: function(sketches, shards, *arguments) for every task."""

    function: Callable[..., Any]
    sketches: SketchSet
    task_shards: list[list[Shard]]
    """The shards of each task."""

    arguments: tuple[Any, ...] = ()


@runtime_checkable
class Executor(Protocol):
    """Who does the work of a pass."""

    def results(self, work: Work) -> Iterable[Any]:
        """What the calls return, in the order of the tasks."""

    def total(self, work: Work) -> Any:
        """The sum of what the calls return, as tree_sum adds it."""


class InThisProcess:
    """One call after the other, in this process."""

    def results(self, work: Work) -> Iterable[Any]:
        return (
            work.function(work.sketches, shards, *work.arguments)
            for shards in work.task_shards
        )

    def total(self, work: Work) -> Any:
        return tree_sum(self.results(work), sum_of)


def tree_sum(values: Iterable[Sum], add_all: Callable[[list[Sum]], Sum]) -> Sum:
    """The sum of all values, at least one, added in a tree that their number gives.

    FAN_IN neighbours are added as soon as they are there, then FAN_IN such sums, and so
    on: at most FAN_IN values or sums of each level are held at a time.
    add_all: the sum of some values, two at least.
    """
    levels: list[list[Sum]] = []
    for value in values:
        for level in levels:
            level.append(value)
            if len(level) < FAN_IN:
                break
            value = add_all(level)
            level.clear()
        else:
            levels.append([value])
    rest: list[Sum] = []
    for level in levels:  # those of a lower level come later
        rest = [*level, *rest]
        rest = [add_all(rest)] if len(rest) > 1 else rest
    return rest[0]


def sum_of(values: list[Any]) -> Any:
    """The sum of some values, from the first to the last."""
    return reduce(add, values)
