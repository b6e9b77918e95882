"""The passes over the sketches as Ray tasks: a stateless task for some shards each."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor

from inflib.data.pairs_folder import Shard
from inflib.scores.executor import Work, sum_of, tree_sum
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.sketch_set import SketchSet
from inflib.telemetry import Clock, event
from ray_jobs.shared.observe import observe, watched


class RayTasks:
    """A scores.executor.Executor on Ray, which counts the tasks it has submitted."""

    def __init__(self) -> None:
        self.done = self.submitted = 0

    def results(self, work: Work) -> Iterator[Any]:
        tasks = [*self._submit(work)]
        tasks.reverse()
        while tasks:  # popped, so that Ray can free a result as soon as it is used
            result, finished = tasks.pop()
            self._wait([finished])
            yield _from_ray(ray.get(result))

    def total(self, work: Work) -> Any:
        all_finished = []

        def results() -> Iterator[Any]:  # no other reference to a result is kept
            for result, finished in self._submit(work):
                all_finished.append(finished)
                yield result

        total = tree_sum(results(), lambda parts: _add.remote(*parts))
        self._wait(all_finished)
        return _from_ray(ray.get(total))

    def _submit(self, work: Work) -> Iterator[tuple[Any, Any]]:
        """(reference to a call's result, reference to a mark that it is there)."""
        shared = [ray.put(_to_ray(argument)) for argument in work.arguments]
        for shards in work.task_shards:
            self.submitted += 1
            result, finished = _call.remote(
                work.function, work.sketches, shards, *shared
            )
            yield result, finished

    def _wait(self, all_finished: Iterable[Any]) -> None:
        """Count tasks as they finish, in this order. Raises what a task has raised."""
        for finished in all_finished:
            ray.get(finished)
            self.done += 1


@ray.remote(num_returns=2)
def _call(
    function: Callable[..., Any],
    sketches: SketchSet,
    shards: list[Shard],
    *arguments: Any,
) -> tuple[Any, None]:
    """(what the function returns for these shards, a mark that it is there)."""
    observe("score")
    torch.set_num_threads(1)  # sums over several threads are rounded in another order
    phase = function.__name__.replace("_", " ")
    clock, name = Clock(), f"{sketches.name}/{shards[0].name} to {shards[-1].name}"
    with watched(f"{phase}, {name}"):
        result = function(sketches, shards, *map(_from_ray, arguments))
    clock.lap(phase)
    num_pairs = sum(shard.num_comparisons for shard in shards)
    event(f"{phase}, {name}", shard=name, pairs=num_pairs, seconds=clock.laps)
    return _to_ray(result), None


@ray.remote(num_cpus=0)  # never behind the tasks that wait for a CPU
def _add(*parts: Any) -> Any:
    """The sum of some results."""
    return sum_of([*parts])


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
