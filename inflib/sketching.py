"""Shards of comparisons to shards of sketches: model, hooks and store together."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from transformers import AutoConfig

from inflib import store
from inflib.attention import longest_flat
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.packing import Unit
from inflib.pairs_folder import PairsFolder
from inflib.reward_folder import describe_model, load_reward_model
from inflib.sketcher import UnitSketcher
from inflib.tokenizer import resolve_base
from inflib.units import Kind, UnitSketches, choose_unit, plan_units


@dataclass(frozen=True)
class Receipt:
    """What sketching one shard took; all that travels back to the driver."""

    pairs: str
    """Name of the pair set."""

    shard: str
    num_pairs: int
    num_tokens: int
    """Tokens computed, padding left out."""

    num_unshared: int
    """Comparisons whose prompt was computed for each response, though units are
    comparisons: the model or the length did not allow to share it, or there is none."""

    num_unusable: int
    """Comparisons whose margin or gradient is not finite, or zero."""

    token_budget: int
    """Tokens per batch; below the run's when memory ran out."""

    seconds: float
    """Of computing alone: reading and writing overlap with another shard's."""


class ShardSketcher:
    """Sketches shards; holds the model and the projection.

    Safe to call from two threads: one shard is computed at a time, and another one is
    read, compressed or written meanwhile.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.run = Folder(recipe.run)
        self.manifest = (self.run / "sketches").read_json("manifest.json")
        # A thread of its own, because torch keeps the number of threads per thread.
        threads = recipe.sketch.cpus_per_worker
        self._computing = ThreadPoolExecutor(
            1, initializer=torch.set_num_threads, initargs=(threads,)
        )
        self.sketcher = self._computing.submit(self._load).result()

    def _load(self) -> UnitSketcher:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, tokenizer = load_reward_model(self.recipe, device)
        config = self.recipe.sketch
        sketcher = UnitSketcher(
            model, tokenizer.pad_token_id, config.sketch_size, config.seed
        )
        stored = self.manifest["num_parameters"]
        loaded = sum(sketcher.gradients.sizes.values())
        if loaded != stored:
            raise ValueError(
                f"the adapter file holds {stored} parameters, the loaded model trains "
                f"{loaded}: some of it was not loaded"
            )
        return sketcher

    def __call__(self, pairs: str, shard: str) -> Receipt:
        """Compute and commit one shard of the named pair set."""
        folder = PairsFolder(self.run / "pairs" / pairs)
        table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
        ids = table["comparison_id"].to_pylist()
        plan = plan_units(table.to_pylist(), self.manifest["units"][pairs])
        found, seconds = self._computing.submit(self._compute, plan.units).result()
        margins, sq_norms, sketches = found.comparisons(plan)
        finite = margins.isfinite() & sq_norms.isfinite()
        finite &= sketches.isfinite().all(1).cpu()
        margins[~finite], sq_norms[~finite] = torch.nan, torch.nan
        sketches.masked_fill_(~finite[:, None].to(sketches.device), 0.0)
        payload, scales = store.encode(sketches, self.recipe.sketch.store_dtype)
        status = [
            store.NOT_FINITE if not ok else store.ZERO if square == 0 else store.OK
            for ok, square in zip(finite.tolist(), sq_norms.tolist(), strict=True)
        ]
        rows = store.Rows(
            ids, margins.numpy(), sq_norms.numpy(), scales.numpy(), status
        )
        target = self.run / "sketches" / pairs
        store.commit(target, shard, payload, rows, folder.digest(shard))
        flat = [self.sketcher.is_flat(unit) for unit in plan.units]
        return Receipt(
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
            sum(s != store.OK for s in status),
            found.token_budget,
            seconds,
        )

    def _compute(self, units: list[Unit]) -> tuple[UnitSketches, float]:
        budget = self._token_budget(max(unit.longest for unit in units))
        started = time.monotonic()
        return self.sketcher(units, budget), time.monotonic() - started

    def _token_budget(self, longest: int) -> int:
        """The recipe's, or what fitted the first worker that asked, for all workers."""
        asked = self.recipe.sketch.token_budget
        if asked != "auto":
            return asked
        folder, name = self.run / "sketches", "token_budget.json"
        if not folder.exists(name):
            fitting = str(self.sketcher.fitting_budget(longest)).encode()
            with contextlib.suppress(ValueError):  # another worker was first
                folder.create(name, fitting)
        return folder.read_json(name)


def bind_sketches(recipe: Recipe) -> None:
    """Bind sketches/ to all that decides its numbers; refuse one of another make.

    Chooses each pair set's unit and says why. Raises ValueError naming the field that
    differs.
    """
    config, folder = recipe.sketch, Folder(recipe.run) / "sketches"
    digest, num_parameters = describe_model(recipe)
    shares_prefix = _shares_prefix(recipe)
    units = {
        name: _unit(recipe, name, shares_prefix) for name in recipe.prepare.sources
    }
    manifest = {
        "model_sha256": digest,
        "num_parameters": num_parameters,
        "model_dtype": recipe.model.dtype,
        "attention": recipe.model.attention,
        "max_length": recipe.prepare.max_length,
        "sketch_size": config.sketch_size,
        "seed": config.seed,
        "store_dtype": config.store_dtype,
        "token_budget": config.token_budget,
        "threads": config.cpus_per_worker,
        "units": {name: unit for name, (unit, _) in units.items()},
    }
    if not folder.exists("manifest.json"):
        for name, (unit, why) in units.items():
            print(f"sketch: {name}: one gradient per {unit}: {why}", flush=True)
        folder.write_json("manifest.json", manifest)
        return
    stored = folder.read_json("manifest.json")
    for name, value in manifest.items():
        if stored.get(name) != value:
            raise ValueError(
                f"{folder.url} was made with {name} = {stored.get(name)!r}, now "
                f"{value!r}: choose another --run, or delete that folder"
            )


def _shares_prefix(recipe: Recipe) -> bool:
    model = recipe.model
    config = AutoConfig.from_pretrained(
        resolve_base(model.base),
        revision=model.revision,
        trust_remote_code=model.trust_remote_code,
    )
    return longest_flat(config) > 0


def _unit(recipe: Recipe, pairs: str, shares_prefix: bool) -> tuple[Kind, str]:
    """The unit of a pair set, and why."""
    asked = recipe.sketch.unit
    plan = PairsFolder(Folder(recipe.run) / "pairs" / pairs).plan()
    unit, why = choose_unit(plan, shares_prefix)
    return (unit, why) if asked == "auto" else (asked, f"as asked; {why}")
