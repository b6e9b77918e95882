"""Passes over the sketch store: partial sums of shard groups, scores of a shard.

Every function here is stateless: it reads named shards, and writes one file whose name
holds a digest of all that its contents depend on. Done files are found by name after a
restart; merging is in plan order, in float64, so the bits do not depend on who did
what when.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from inflib import curvature, influence, store
from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder, Shard


@dataclass(frozen=True)
class Labels:
    """The usable labels of one shard, beside the rows of their comparisons."""

    table: pa.Table
    signs: Tensor
    rows: Tensor
    margins: Tensor
    """r(a) - r(b) of each label's comparison, float64; NaN where not finite."""

    sq_norms: Tensor
    """|s|^2 of each label's comparison."""

    required: Tensor
    """Margin that the loss requires of each label."""

    status: np.ndarray
    """Of each label's comparison, see `store`."""

    num_comparisons: int

    @property
    def weights(self) -> Tensor:
        """Loss weights; 0 for a comparison that is not finite."""
        return self._weights(self.signs)

    @property
    def flipped_weights(self) -> Tensor:
        """Loss weights had the labeler preferred the other response."""
        return self._weights(-self.signs)

    def _weights(self, signs: Tensor) -> Tensor:
        weights = curvature.loss_weights(self.margins, signs, self.required)
        return torch.where(self.usable, weights, 0.0)

    def by_comparison(self, terms: Tensor) -> Tensor:
        """Sum of the labels' terms, for each comparison of the shard."""
        return influence.by_comparison(terms, self.rows, self.num_comparisons)

    @property
    def usable(self) -> Tensor:
        """Whether a label has a score: its margin and gradient are finite."""
        return self.margins.isfinite()

    @property
    def counted(self) -> Tensor:
        """Whether a label counts in n and in means: a zero gradient scores 0, but
        says nothing."""
        return torch.from_numpy(self.status == store.OK)


def read_labels(run: Folder, pairs: str, shard: Shard) -> Labels:
    """Labels of one shard with margins and norms from its commit record."""
    table = PairsFolder(run / "pairs" / pairs).labels(shard)
    sketches = run / "sketches" / pairs
    record = store.read_record(sketches, shard.name)
    store.check_plan(sketches, shard, record)
    found = store.read_rows(record)
    rows = torch.from_numpy(table["row"].to_numpy().astype(np.int64))
    return Labels(
        table,
        torch.from_numpy(table["sign"].to_numpy().astype(np.float64)),
        rows,
        torch.from_numpy(found.margin)[rows],
        torch.from_numpy(found.sq_norm)[rows],
        torch.from_numpy(table["required_margin"].to_numpy().copy()),
        np.array(found.status)[rows.numpy()],
        len(found.margin),
    )


def moments(run: Folder, pairs: str, shards: list[Shard]) -> tuple[int, float]:
    """(labels that count, sum of |g|^2 over them) of a group of shards."""
    count, total = 0, 0.0
    for shard in shards:
        labels = read_labels(run, pairs, shard)
        squares = labels.weights.square() * labels.sq_norms
        total += float(squares[labels.counted].sum())
        count += int(labels.counted.sum())
    return count, total


def query_sums(run: Folder, pairs: str, shards: list[Shard]) -> np.ndarray:
    """Sum of loss gradients [k] over a group of shards, float64."""
    total: Tensor | None = None
    for shard in shards:
        labels = read_labels(run, pairs, shard)
        sums = labels.by_comparison(labels.weights)
        for part, sketches in store.read_sketches(run / "sketches" / pairs, shard.name):
            found = (sums[part].float() @ sketches).double()
            total = found if total is None else total + found
    assert total is not None
    return total.numpy()


def datainf_sums(
    run: Folder, pairs: str, shards: list[Shard], vectors: np.ndarray, lam: float
) -> np.ndarray:
    """DataInf's weighted products [k q] over a group of shards, float64."""
    queries = torch.from_numpy(vectors).float()
    total = torch.zeros(vectors.shape, dtype=torch.float64)
    for shard in shards:
        labels = read_labels(run, pairs, shard)
        norms = torch.where(labels.usable, labels.sq_norms, 0.0)
        coefficients = labels.by_comparison(
            curvature.datainf_coefficients(labels.weights, norms, lam)
        )
        for part, sketches in store.read_sketches(run / "sketches" / pairs, shard.name):
            total += curvature.weighted_products(
                sketches, coefficients[part].float(), queries
            ).double()
    return total.numpy()


def score_shard(
    run: Folder, pairs: str, shard: Shard, ihvps: np.ndarray, names: list[str]
) -> pa.Table:
    """Labels of a shard: status, margin, loss, gradient norm, influences, flip effects.

    ihvps: [k q], one column per name; influence_<name> and flip_effect_<name> come
    out. Margins are chosen - rejected. Null where a comparison is not finite.
    """
    labels = read_labels(run, pairs, shard)
    vectors = torch.from_numpy(ihvps).float()
    folder = run / "sketches" / pairs
    aligned = torch.cat(
        [part @ vectors for _, part in store.read_sketches(folder, shard.name)]
    ).double()
    table = labels.table.drop_columns(["row", "required_margin"])
    table = table.append_column("status", pa.array(labels.status, pa.string()))
    margins = labels.signs * labels.margins
    columns = {
        "margin": margins,
        "loss": torch.nn.functional.softplus(labels.required - margins),
        "gradient_norm": labels.weights.abs() * labels.sq_norms.sqrt(),
    }
    scores = influence.influence(aligned, labels.weights, labels.rows)
    flips = influence.flip_effect(
        aligned, labels.weights, labels.flipped_weights, labels.rows
    )
    for i, name in enumerate(names):
        columns[f"influence_{name}"] = scores[:, i]
        columns[f"flip_effect_{name}"] = flips[:, i]
    missing = ~labels.usable.numpy()
    for name, values in columns.items():
        # + 0.0: a negative zero would print as -0.0
        table = table.append_column(name, pa.array(values.numpy() + 0.0, mask=missing))
    return table


def score_inputs(run: Folder, recipe: Recipe) -> str:
    """Digest of all that scores depend on: labels, sketches, settings."""
    return key(
        store=_store_digest(run, recipe), score=recipe.score.model_dump(mode="json")
    )


def _store_digest(run: Folder, recipe: Recipe) -> str:
    total = hashlib.sha256(run.read_bytes("sketches/manifest.json"))
    for pairs in recipe.prepare.sources:
        total.update(run.read_bytes(f"pairs/{pairs}/plan.json"))
        shards = [shard.name for shard in PairsFolder(run / "pairs" / pairs).plan()]
        for _, record in store.read_records(run / "sketches" / pairs, shards):
            total.update(json.dumps(record, sort_keys=True).encode())
    return total.hexdigest()


def key(**facts: Any) -> str:
    """Short digest that names a partial file after what it depends on."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_array(folder: Folder, name: str, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    folder.write(name, buffer.getvalue())


def read_array(folder: Folder, name: str) -> np.ndarray:
    return np.load(io.BytesIO(folder.read_bytes(name)), allow_pickle=False)
