"""Sketches of a run's comparisons, taken while somebody trains a model on them.

Each training comparison is sketched by the model as it is when it first comes by, from
the training's own forward and backward pass. Query sets, and training comparisons that
are left in the end, take passes of their own.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.model.label_batches import Parts
from inflib.model.preference_trainer import See
from inflib.model.quantized import keep_differentiable
from inflib.model.trained_weights import evaluating
from inflib.sketches import store
from inflib.sketches.binding import bind_sketches
from inflib.sketches.comparison_lookup import ComparisonLookup
from inflib.sketches.row_encoding import finite
from inflib.sketches.spool import Spool, Spools
from inflib.sketches.training_gradients import TrainingGradients
from inflib.sketches.unit_sketcher import CPU_BUDGET, UnitSketcher
from inflib.sketches.units import plan_units
from inflib.storage.folder import Folder

Sequences = tuple[Sequence[int], Sequence[int]]
"""Token ids of the chosen and of the rejected response, prompt included."""


class TrainingSketcher:
    """Sketches for one process of a training."""

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        pad_id: int,
        scratch: Path,
        process: int,
    ) -> None:
        """model: a LoRA reward model that is about to be trained, on its device; is
        left as it is. scratch: on this process's disk, gets rows where the run is not
        local; process: number of this one.

        Raises ValueError where the model trains what is no linear layer.
        """
        self.recipe, self.model = recipe, model
        self.run, self._process = Folder(recipe.run), process
        # a local run is shared by all processes, who find their rows again in it when
        # they are started again
        is_local = self.run.is_local
        self._folder = Path(self.run.url if is_local else scratch) / "sketches/spool"
        self._exchange = None if is_local else self.run / "sketches/exchange"
        self.lookup = ComparisonLookup(PairsFolder(self.run / "pairs/train"))
        config = recipe.sketch
        keep_differentiable(model)
        self._gradients = TrainingGradients(model)
        with _frozen(model):
            self._sketcher = UnitSketcher(
                model, pad_id, config.sketch_size, config.seed, config.by_layer
            )
        self.layers = self._sketcher.oporp.layers
        self._layer_index = {layer.name: i for i, layer in enumerate(self.layers)}
        self._shards = list[PlacedShard]()
        start = 0
        for pairs in ["train", *recipe.prepare.queries]:  # train's places come first
            folder = PairsFolder(self.run / "pairs" / pairs)
            for shard in folder.plan():
                places = range(start, start + shard.num_comparisons)
                self._shards.append(PlacedShard(folder, shard, places))
                start = places.stop
        self._spool = self._spool_at(self._folder / f"process-{process}")
        self._seconds = 0.0

    def begin(self, resumed: bool, processes: int) -> None:
        """Training begins. resumed: it goes on after a step; else, or where this
        process has no rows of the steps before, what an earlier one has left goes.

        All processes call it, and wait for each other afterwards.
        """
        if resumed and self._spool.places:
            return
        self._spool.clear()
        if self._process == 0:
            sketches = self.run / "sketches"
            others = {f"process-{number}" for number in range(processes)}
            for folder in self._folder.iterdir():
                if folder.name not in others:
                    shutil.rmtree(folder)
            for name in ("exchange", *self.recipe.prepare.sources):
                part = sketches / name
                part.delete(*part.names())
            sketches.delete(*sketches.names())

    def _spool_at(self, folder: Path) -> Spool:
        config = self.recipe.sketch
        return Spool(folder, config.sketch_size, len(self.layers), config.store_dtype)

    @contextmanager
    def watching(self, labels: Sequence[Sequences], parts: Parts) -> Iterator[See]:
        """The block that is entered makes one forward and backward pass of labels. Its
        loss must be computed of the rewards that come back from what is yielded.

        parts: of the batch, with a margin for each label.
        """
        found = {
            place: (row, sign)
            for row, sequences in enumerate(labels)
            for place, sign in self.lookup.find(*sequences)
            if place not in self._spool.places
        }
        if not found:
            yield lambda rewards: rewards
            return
        own = parts.turned(found.values())
        device = next(self.model.parameters()).device
        sketches = torch.zeros(len(found), self.recipe.sketch.sketch_size).to(device)
        squares = torch.zeros(len(found), len(self.layers), device=device)

        def consume(block: str, grads: Float[Tensor, "c d"]) -> None:
            self._sketcher.oporp.add(sketches, block, grads)
            layer = self._layer_index[self._sketcher.oporp.layer_of[block]]
            squares[:, layer] += grads.square().sum(1)

        with self._gradients.watching(own, consume) as watch:
            yield watch.see_rewards
        margins = watch.margins()
        good = finite(margins, squares, sketches)
        usable = [i for i in watch.usable if good[i]]
        places = [[*found][i] for i in usable]
        self._spool.append(places, margins[usable], squares[usable], sketches[usable])

    def sketch_others(
        self, trained_on: Iterable[Sequences], process: int, processes: int
    ) -> None:
        """This process's share of what training does not take gradients of, by the
        model as it is: query sets, and training comparisons without a label in
        `trained_on`. What is there already stays."""
        started = time.monotonic()
        seen = {p for labels in trained_on for p, _ in self.lookup.find(*labels)}
        own = set(range(process, self.count, processes))
        self._sketch_missing(self._spool, lambda p: p in seen or p not in own)
        self._seconds += time.monotonic() - started

    def _sketch_missing(self, into: Spool, leaves: Callable[[int], bool]) -> None:
        """Sketch comparisons that are not there, but for those at places that `leaves`
        says."""
        for shard in self._shards:
            missing = [
                p for p in shard.places if p not in into.places and not leaves(p)
            ]
            if missing:
                rows = shard.rows()
                chosen = [rows[p - shard.places.start] for p in missing]
                into.append(missing, *self.sketched(chosen))

    @property
    def count(self) -> int:
        """Comparisons of all pair sets."""
        return self._shards[-1].places.stop

    def row_at(self, place: int) -> dict[str, Any]:
        """comparison_id, prefix, a and b of the comparison at a place."""
        shard = next(s for s in self._shards if place in s.places)
        return shard.rows()[place - shard.places.start]

    def share(self) -> None:
        """Give the rows of this process to the first one, where training has ended."""
        if self._exchange is not None and self._process:
            self._spool.upload(self._exchange, f"process-{self._process}")

    def write(self) -> int:
        """Write sketches/ of the run, from what all processes spooled.

        Comparisons that nobody sketched are, by the model as it is: the result is their
        number. Called in the first process, when all have called `share` and
        reward_model/ is written.
        """
        started = time.monotonic()
        if self._exchange is not None:
            self._receive(self._exchange)
        folders = sorted(self._folder.glob("process-*"))
        own = [self._spool_at(folder) for folder in folders]
        rest = self._spool_at(self._folder / "rest")
        known = set[int]().union(*(each.places for each in own))
        self._sketch_missing(rest, known.__contains__)
        spools = Spools([*own, rest])
        sketches = self.run / "sketches"
        for placed in self._shards:
            name, shard = placed.pairs.folder.name, placed.shard
            payload, stored = spools.shard(placed.places, placed.ids())
            store.commit(sketches / name, shard.name, payload, stored, shard.sha256)
        bind_sketches(self.recipe, in_training=True)
        for name in self.recipe.prepare.sources:
            plan = PairsFolder(self.run / "pairs" / name).plan()
            store.write_index(sketches / name, [shard.name for shard in plan])
        facts = {
            "seconds": round(self._seconds + time.monotonic() - started, 2),
            "pairs": self.count,
            "after_training": len(rest.places),
            "bytes": sketches.num_bytes(),
        }
        sketches.write_json("done.json", facts)
        return len(rest.places)

    def clean(self) -> None:
        """Remove the spools, once nothing can ask for them again."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, exchange: Folder) -> None:
        """Take the rows of the other processes."""
        parts = exchange.names()
        for name in sorted({part.rsplit("-", 2)[0] for part in parts}):
            folder = self._folder / name
            shutil.rmtree(folder, ignore_errors=True)
            self._spool_at(folder).download(exchange, name)
        exchange.delete(*parts)

    def sketched(self, rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor]:
        """(margins, |s|^2 by layer, sketches) of comparisons by the model as it is."""
        plan = plan_units(rows, "comparison")
        budget = self.recipe.sketch.token_budget
        tokens = CPU_BUDGET if budget == "auto" else budget
        with _frozen(self.model):
            self.model.requires_grad_(False)
            return self._sketcher(plan.units, tokens).comparisons(plan)


@dataclass(frozen=True)
class PlacedShard:
    """A shard of a pair set, and the places of its comparisons among those of all."""

    pairs: PairsFolder
    shard: Shard
    places: range

    def ids(self) -> list[str]:
        """Its comparison_ids."""
        table = self.pairs.comparisons(self.shard, ["comparison_id"])
        return table["comparison_id"].to_pylist()

    def rows(self) -> list[dict[str, Any]]:
        """comparison_id, prefix, a and b of its comparisons."""
        columns = ["comparison_id", "prefix", "a", "b"]
        return self.pairs.comparisons(self.shard, columns).to_pylist()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """`evaluating`, and random numbers are as they were, too."""
    device = next(model.parameters()).device
    drawn = [device] if device.type == "cuda" else []
    with evaluating(model), torch.random.fork_rng(drawn):
        yield
