"""A shard of comparisons to a shard of sketches, from pairs/ to sketches/."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.model.device import worker_device
from inflib.model.packing import Unit
from inflib.model.reward_folder import load_sketched_model
from inflib.model.sharded import turns_of
from inflib.sketches import store
from inflib.sketches.manifest import Manifest
from inflib.sketches.row_encoding import encoded, statuses
from inflib.sketches.unit_sketcher import UnitSketcher
from inflib.sketches.units import UnitSketches, plan_units
from inflib.storage.folder import Folder
from inflib.telemetry import Clock, event


@dataclass(frozen=True)
class Receipt:
    """What sketching one shard took: all that a worker sends back to the driver."""

    pairs: str
    """Name of the pair set."""

    shard: str
    num_pairs: int
    num_tokens: int
    """Tokens computed, padding left out."""

    num_unshared: int
    """Of comparisons that are units: those whose prompt was computed once for each
    response. The model or the length did not allow to share it, or it is empty."""

    num_unusable: int
    """Comparisons whose margin or gradient is not finite, or zero."""

    token_budget: int
    """Tokens per batch in the end; less than at the start when memory ran out."""

    seconds: float
    """Seconds of computing; reading and writing overlap with that of another shard."""


class ShardSketcher:
    """Sketches the shards of a run; holds the model and the projection.

    Safe to call from two threads: one shard is computed at a time, and another one is
    read, compressed or written meanwhile.
    """

    def __init__(self, recipe: Recipe, device: torch.device | None = None) -> None:
        """device: where to compute; default: the worker's, by the recipe."""
        self.recipe = recipe
        self._device = device or worker_device(recipe.sketch.gpus_per_worker)
        self.run = Folder(recipe.run)
        self.manifest = Manifest(self.run)
        self._plans = {
            pairs: {
                shard.name: shard
                for shard in PairsFolder(self.run / "pairs" / pairs).plan()
            }
            for pairs in recipe.prepare.sources
        }
        # A thread of its own, because torch keeps the number of threads per thread.
        threads = recipe.sketch.cpus_per_worker
        self._computing = ThreadPoolExecutor(
            1, initializer=torch.set_num_threads, initargs=(threads,)
        )
        self.sketcher = self._computing.submit(self._load).result()

    def _load(self) -> UnitSketcher:
        config = self.recipe.sketch
        if self._device.index is not None:  # torch keeps it per thread, too
            torch.cuda.set_device(self._device)
        model, tokenizer, scales = load_sketched_model(self.recipe, self._device)
        sketcher = UnitSketcher(
            model,
            tokenizer.pad_token_id,
            config.sketch_size,
            config.seed,
            config.by_layer,
            scales,
        )
        assert sketcher.oporp.layers == self.manifest.layers
        return sketcher

    def wait_for_others(self) -> None:
        """Called when this worker has sketched its shards: those that share its base
        need it until they have sketched theirs."""
        if turns := turns_of(self.sketcher.gradients.model):
            self._computing.submit(turns.serve).result()

    def __call__(self, pairs: str, shard: str) -> Receipt:
        """Sketch one shard of a pair set, write it to sketches/, return the receipt."""
        clock = Clock()
        planned = self._plans[pairs][shard]
        folder = PairsFolder(self.run / "pairs" / pairs)
        table = folder.comparisons(planned, ["comparison_id", "prefix", "a", "b"])
        plan = plan_units(table.to_pylist(), self.manifest.unit(pairs))
        clock.lap("read")
        computation = self._computing.submit(self._compute, plan.units)
        unit_sketches, seconds = computation.result()
        clock.lap("wait")  # for its turn to compute, and the computation
        ids = table["comparison_id"].to_pylist()
        payload, scales, margins, sq_norms = encoded(
            *unit_sketches.comparisons(plan), self.recipe.sketch.store_dtype
        )
        rows = store.Rows(ids, margins, sq_norms, scales, statuses(sq_norms))
        clock.lap("encode")
        target = self.run / "sketches" / pairs
        num_bytes = store.commit(target, shard, payload, rows, planned.sha256)
        clock.lap("write")
        flat = [self.sketcher.is_flat(unit) for unit in plan.units]
        receipt = Receipt(
            pairs,
            shard,
            len(ids),
            sum(
                unit.num_tokens if is_flat else sum(map(len, unit.sequences))
                for unit, is_flat in zip(plan.units, flat, strict=True)
            ),
            sum(
                len(unit.tails) > 1 and not (is_flat and unit.prefix)
                for unit, is_flat in zip(plan.units, flat, strict=True)
            ),
            sum(status != store.OK for status in rows.status),
            unit_sketches.token_budget,
            seconds,
        )
        event(
            f"sketched {pairs}/{shard}",
            shard=f"{pairs}/{shard}",
            pairs=receipt.num_pairs,
            tokens=receipt.num_tokens,
            bytes=num_bytes,
            unusable=receipt.num_unusable,
            seconds=clock.laps
            | {"wait": clock.laps["wait"] - seconds, "compute": seconds},
        )
        return receipt

    def _compute(self, units: list[Unit]) -> tuple[UnitSketches, float]:
        budget = self._token_budget(max(unit.longest for unit in units))
        started = time.monotonic()
        return self.sketcher(units, budget), time.monotonic() - started

    def _token_budget(self, longest: int) -> int:
        """Tokens per batch: the recipe's. With "auto", what fits the memory of the
        first worker; it is stored, so that all workers on such devices use the same."""
        budget = self.recipe.sketch.token_budget
        if budget != "auto":
            return budget
        folder, name = self.run / "sketches", token_budget_file(self.sketcher.device)
        if not folder.exists(name):
            fitting = str(self.sketcher.fitting_budget(longest)).encode()
            with contextlib.suppress(ValueError):  # another worker was first
                folder.create(name, fitting)
        return folder.read_json(name)


def token_budget_file(device: torch.device) -> str:
    """Name of the file in sketches/ with the tokens per batch on such a device: a run
    that goes on without GPUs must not take batches of their size."""
    return f"token_budget-{device.type}.json"
