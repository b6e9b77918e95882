"""Shards sketched by a group of workers that share bases (model.sharded_over)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

import ray
import ray.train
import ray.train.torch

from inflib.config.recipe import Recipe
from inflib.sketches.shard_sketcher import Receipt, ShardSketcher
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.worker_group import run_group

_EVERY_SECONDS = 0.5

_Names = tuple[str, str]
"""Of a pair set, and of a shard."""


class _Receipts:
    """What the workers of a group have done, whichever of them are alive."""

    def __init__(self) -> None:
        self._done: dict[_Names, Receipt] = {}

    def add(self, receipt: Receipt) -> None:
        self._done[receipt.pairs, receipt.shard] = receipt

    def after(self, count: int) -> list[Receipt]:
        """All but the first `count`."""
        return list(self._done.values())[count:]

    def names(self) -> set[_Names]:
        return set(self._done)


def sketch_in_group(recipe: Recipe, todo: list[_Names]) -> Iterator[Receipt]:
    """Sketch the shards `todo`. Yields a receipt for each, once its files are complete,
    in the order in which they are."""
    receipts = ray.remote(num_cpus=0)(_Receipts).remote()
    given = {"recipe": recipe, "todo": todo, "receipts": receipts}
    count = 0
    with ThreadPoolExecutor(1) as pool:
        group = pool.submit(
            run_group,
            _sketch_worker,
            given,
            recipe.sketch,
            recipe.train.max_failures,
            Folder(recipe.run) / "sketches",
            "group",
        )
        ended = False
        while not ended:
            ended = bool(wait_for([group], _EVERY_SECONDS).done)
            new = ray.get(receipts.after.remote(count))
            count += len(new)
            yield from new
        group.result()


def _sketch_worker(given: dict[str, Any]) -> None:
    """Sketch this worker's share of the shards, and take part in the others' passes."""
    observe("sketch")
    recipe, receipts = given["recipe"], given["receipts"]
    context = ray.train.get_context()
    own = given["todo"][context.get_world_rank() :: context.get_world_size()]
    done = ray.get(receipts.names.remote())
    sketcher = ShardSketcher(recipe, ray.train.torch.get_device())

    def sketch(names: _Names) -> None:
        with watched(f"shard {'/'.join(names)}"):
            ray.get(receipts.add.remote(sketcher(*names)))

    # One shard is read or written while another one is computed.
    with ThreadPoolExecutor(2) as pool:
        todo = [pool.submit(sketch, names) for names in own if names not in done]
        try:
            for shard in todo:
                shard.result()
        finally:
            pool.shutdown(cancel_futures=True)
    sketcher.wait_for_others()
