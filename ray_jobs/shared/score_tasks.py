"""The executor of passes on Ray: one stateless task for each group of shards."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor

from inflib.data.pairs_folder import Shard
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.sketch_set import SketchSet
from inflib.telemetry import Clock, event
from ray_jobs.shared.observe import observe, watched


class RayTasks:
    """A scores.passes.Executor; counts its tasks."""

    def __init__(self) -> None:
        self.done = self.submitted = 0

    def __call__(
        self,
        function: Callable[..., Any],
        sketches: SketchSet,
        groups: list[list[Shard]],
        *arguments: Any,
    ) -> Iterator[Any]:
        shared = [ray.put(_sent(argument)) for argument in arguments]
        tasks = [_call.remote(function, sketches, shards, *shared) for shards in groups]
        self.submitted += len(tasks)
        tasks.reverse()
        while tasks:  # a result is let go as soon as it is used
            result = ray.get(tasks.pop())
            self.done += 1
            yield _received(result)


@ray.remote
def _call(
    function: Callable[..., Any],
    sketches: SketchSet,
    shards: list[Shard],
    *arguments: Any,
) -> Any:
    """One thread, since more threads round otherwise."""
    observe("score")
    torch.set_num_threads(1)
    phase = function.__name__.replace("_", " ")
    clock, name = Clock(), f"{sketches.name}/{shards[0].name} to {shards[-1].name}"
    with watched(f"{phase}, {name}"):
        result = function(sketches, shards, *map(_received, arguments))
    clock.lap(phase)
    num_pairs = sum(shard.num_comparisons for shard in shards)
    event(f"{phase}, {name}", shard=name, pairs=num_pairs, seconds=clock.laps)
    return _sent(result)


def _sent(value: Any) -> Any:
    """Arrays, since Ray hands them over without copies."""
    return value.numpy() if isinstance(value, Tensor) else value


def _received(value: Any) -> Any:
    """A copy of an array: Ray's memory is read-only."""
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@ray.remote
def assemble(
    scores: InfluenceFolder, parts: list[str], columns: list[str]
) -> tuple[int, str]:
    """InfluenceFolder.assemble, outside the coordinator's memory."""
    return scores.assemble(parts, columns)
