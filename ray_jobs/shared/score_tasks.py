"""The passes over the sketches as Ray tasks: a stateless task for some shards each."""

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
    """A scores.passes.Executor on Ray, which counts the tasks it has submitted."""

    def __init__(self) -> None:
        self.done = self.submitted = 0

    def __call__(
        self,
        function: Callable[..., Any],
        sketches: SketchSet,
        task_shards: list[list[Shard]],
        *arguments: Any,
    ) -> Iterator[Any]:
        """What function(sketches, shards, *arguments) returns, in the order of tasks.

        task_shards: the shards of each task.
        """
        shared = [ray.put(_to_ray(argument)) for argument in arguments]
        tasks = [
            _call.remote(function, sketches, shards, *shared) for shards in task_shards
        ]
        self.submitted += len(tasks)
        tasks.reverse()
        while tasks:  # popped, so that Ray can free a result as soon as it is used
            result = ray.get(tasks.pop())
            self.done += 1
            yield _from_ray(result)


@ray.remote
def _call(
    function: Callable[..., Any],
    sketches: SketchSet,
    shards: list[Shard],
    *arguments: Any,
) -> Any:
    """What the function returns for these shards."""
    observe("score")
    torch.set_num_threads(1)  # sums over several threads are rounded in another order
    phase = function.__name__.replace("_", " ")
    clock, name = Clock(), f"{sketches.name}/{shards[0].name} to {shards[-1].name}"
    with watched(f"{phase}, {name}"):
        result = function(sketches, shards, *map(_from_ray, arguments))
    clock.lap(phase)
    num_pairs = sum(shard.num_comparisons for shard in shards)
    event(f"{phase}, {name}", shard=name, pairs=num_pairs, seconds=clock.laps)
    return _to_ray(result)


def _to_ray(value: Any) -> Any:
    """Tensors as NumPy arrays, which Ray hands over without copies."""
    return value.numpy() if isinstance(value, Tensor) else value


def _from_ray(value: Any) -> Any:
    """Arrays as tensors, copied, since Ray's shared memory is read-only."""
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@ray.remote
def assemble(
    scores: InfluenceFolder, files: list[str], columns: list[str]
) -> tuple[int, str]:
    """InfluenceFolder.assemble as a task, so that the table never fills the reducer."""
    return scores.assemble(files, columns)
