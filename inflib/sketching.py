"""Shards of comparisons to shards of sketches: model, hooks and store together."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib import store
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.gradients import MarginGradients
from inflib.packing import pad, plan_batches
from inflib.pairs_folder import PairsFolder
from inflib.reward_folder import describe_model, load_reward_model
from inflib.sketch import Oporp


@dataclass(frozen=True)
class Receipt:
    """What sketching one shard took; all that travels back to the driver."""

    pairs: str
    """Name of the pair set."""

    shard: str
    num_pairs: int
    num_tokens: int
    num_unusable: int
    """Comparisons whose margin or gradient is not finite, or zero."""

    seconds: float


class ShardSketcher:
    """Sketches one shard at a time; holds the model and the projection."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(recipe.sketch.cpus_per_worker)
        self.recipe = recipe
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.run = Folder(recipe.run)
        model, self.tokenizer = load_reward_model(recipe, self.device)
        self.gradients = MarginGradients(model)
        config, sizes = recipe.sketch, self.gradients.sizes
        stored = (self.run / "sketches").read_json("manifest.json")["num_parameters"]
        if sum(sizes.values()) != stored:
            raise ValueError(
                f"the adapter file holds {stored} parameters, the loaded model trains "
                f"{sum(sizes.values())}: some of it was not loaded"
            )
        self.oporp = Oporp(sizes, config.sketch_size, config.seed, self.device)

    def __call__(self, pairs: str, shard: str) -> Receipt:
        """Compute and commit one shard of the named pair set."""
        started = time.monotonic()
        folder = PairsFolder(self.run / "pairs" / pairs)
        table = folder.comparisons(shard, ["comparison_id", "prefix", "a", "b"])
        rows = table.to_pylist()
        responses = [(r["prefix"] + r["a"], r["prefix"] + r["b"]) for r in rows]
        margins, sq_norms, sketches = self.sketch(responses)
        payload, scales = store.encode(sketches, self.recipe.sketch.store_dtype)
        found = store.Rows(
            [row["comparison_id"] for row in rows],
            margins,
            sq_norms,
            scales.numpy(),
            status(margins, sq_norms),
        )
        target = self.run / "sketches" / pairs
        store.commit(target, shard, payload, found, folder.digest(shard))
        return Receipt(
            pairs,
            shard,
            len(rows),
            sum(len(a) + len(b) for a, b in responses),
            sum(s != store.OK for s in found.status),
            time.monotonic() - started,
        )

    def sketch(
        self, responses: list[tuple[list[int], list[int]]]
    ) -> tuple[np.ndarray, np.ndarray, Float[Tensor, "n k"]]:
        """Margins and |s|^2 (float64, NaN where not finite) and sketches (0 there)."""
        lengths = [max(len(a), len(b)) for a, b in responses]
        margins, sq_norms, sketches = [], [], []
        for batch_rows in plan_batches(lengths, self.recipe.sketch.token_budget):
            batch = pad([responses[i] for i in batch_rows], self.tokenizer.pad_token_id)
            b, k = len(batch_rows), self.oporp.sketch_size
            sums = torch.zeros(b, k, device=self.device)
            squares = torch.zeros(b, dtype=torch.float64, device=self.device)

            def consume(
                block: str,
                grads: Tensor,
                sums: Tensor = sums,
                squares: Tensor = squares,
            ) -> None:
                self.oporp.add(sums, block, grads)
                squares += grads.square().sum(dim=1, dtype=torch.float64)

            margin = self.gradients(batch.to(self.device), consume).double()
            finite = margin.isfinite() & squares.isfinite() & sums.isfinite().all(1)
            nan = torch.full_like(margin, torch.nan)
            margins.append(torch.where(finite, margin, nan).cpu())
            sq_norms.append(torch.where(finite, squares, nan).cpu())
            sketches.append(torch.where(finite[:, None], sums, 0.0).cpu())
        return (
            torch.cat(margins).numpy(),
            torch.cat(sq_norms).numpy(),
            torch.cat(sketches),
        )


def status(margins: np.ndarray, sq_norms: np.ndarray) -> list[str]:
    """Status of each comparison, from its margin and squared gradient norm."""
    return [
        store.NOT_FINITE if np.isnan(m) else store.ZERO if s == 0 else store.OK
        for m, s in zip(margins, sq_norms, strict=True)
    ]


def bind_sketches(recipe: Recipe) -> None:
    """Bind sketches/ to all that decides its numbers; refuse one of another make.

    Raises ValueError naming the field that differs.
    """
    config, folder = recipe.sketch, Folder(recipe.run) / "sketches"
    digest, num_parameters = describe_model(recipe)
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
    }
    if not folder.exists("manifest.json"):
        folder.write_json("manifest.json", manifest)
        return
    stored = folder.read_json("manifest.json")
    for name, value in manifest.items():
        if stored.get(name) != value:
            raise ValueError(
                f"{folder.url} was made with {name} = {stored.get(name)!r}, now "
                f"{value!r}: choose another --run, or delete that folder"
            )
