"""Scores of labels, and their standard errors, as tables: one for each shard.

k  entries of a sketch     l  layers     q  columns     g  query groups
n  labels     c  comparisons
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import Curvature
from inflib.data.output_columns import (
    ERROR,
    FLIP_EFFECT,
    GRADIENT_NORM,
    INFLUENCE,
    LOSS,
    MARGIN,
    PARTS,
    SELF_INFLUENCE,
    STATUS,
)
from inflib.data.pairs_folder import Shard
from inflib.numerics import influence, quantized_products, uncertainty
from inflib.numerics.layer_bins import Layer
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Damped:
    """|lambda (H + lambda I)^-1 s| / |s| of every label, to first order:
    factor / (1 + leverage / (n lambda)), derived in docs/design.md.

    1 / (1 + leverage / (n lambda)) is what the label's own rank-one term of H leaves of
    s (Sherman & Morrison); factor, a mean over labels, what all other terms leave.
    """

    kind: Curvature
    n_lambda: float
    """n lambda: a leverage of this size halves the length."""

    factor: float
    """Mean ratio that is left to explain after the label's own term, at most 1."""

    def __call__(self, labels: Labels) -> Float[Tensor, " n"]:
        return self.factor / (1 + labels.leverage(self.kind) / self.n_lambda)


@dataclass(frozen=True)
class Columns:
    """What a shard's labels are scored with: H^-1 v as shares of query groups."""

    names: list[str]
    ihvps: Float[Tensor, "q k g"]
    """For each name."""

    shares: Float[Tensor, "q g"]
    """Share of its query labels in each group."""

    damped: list[Damped | None]
    """For each name; None where H is not a sum over sketches."""

    detailed: tuple[str, ...] = ()
    """Names whose influence is also split by query group."""

    probes: dict[str, Float[Tensor, "k p"]] = field(default_factory=dict)
    """By curvature, see scores.solver: for influence of labels on their own loss."""

    @staticmethod
    def join(parts: "list[Columns]") -> "Columns":
        return Columns(
            [name for part in parts for name in part.names],
            torch.cat([part.ihvps for part in parts]),
            torch.cat([part.shares for part in parts]),
            [damped for part in parts for damped in part.damped],
            parts[0].detailed or tuple(parts[0].names),
            {kind: x for part in parts for kind, x in part.probes.items()},
        )


def write_scores(
    sketches: SketchSet,
    shards: list[Shard],
    target: Folder,
    name: str,
    columns: Columns,
) -> None:
    """Leave the scores of a group of shards in a file of `target`, see part_name."""
    tables = pa.concat_tables(score_shards(sketches, shards, columns))
    target.write_table(part_name(name, shards), tables)


def part_name(name: str, shards: list[Shard]) -> str:
    """File of the scores of a group of shards."""
    return f"{name}-{shards[0].name}.parquet"


def score_shards(
    sketches: SketchSet, shards: list[Shard], columns: Columns
) -> Iterator[pa.Table]:
    """The scores of each shard, see `_score`; with probes, also self-influence:
    g' (H + lambda I)^-1 g of each label, how far its gradient lies from the others'."""
    layers = read_layers(sketches.run)
    flat = columns.ihvps.movedim(0, 1).flatten(1)  # [k, q g]
    prepared = [quantized_products.Vectors(flat[layer.bins]) for layer in layers]
    probes = {kind: quantized_products.Vectors(x) for kind, x in columns.probes.items()}
    for shard in shards:
        labels = sketches.labels(shard)
        entries, scales = sketches.payload(shard)
        by_layer = [
            quantized_products.times(entries[:, layer.bins], scales, vectors)
            for layer, vectors in zip(layers, prepared, strict=True)
        ]
        aligned = torch.stack(by_layer).unflatten(2, columns.shares.shape)
        table = _score(labels, aligned, columns, layers)
        for kind, vectors in probes.items():
            products = quantized_products.times(entries, scales, vectors)
            squares = products.square().mean(1)[labels.rows]
            influences = (labels.weights.square() * squares).numpy()
            column = pa.array(influences, mask=~labels.usable.numpy())
            table = table.append_column(SELF_INFLUENCE.of(kind), column)
        yield table


def _score(
    labels: Labels,
    aligned: Float[Tensor, "l c q g"],
    columns: Columns,
    layers: list[Layer],
) -> pa.Table:
    """Labels of a shard with their columns, see data.output_columns.

    A flip effect has influence's error relative to its size. Null where a comparison
    is not finite.
    """
    table = _edited(labels.table, labels.signs.numpy())
    table = table.append_column(STATUS.name, pa.array(labels.status, pa.string()))
    margins = labels.signs * labels.margins
    values = {
        MARGIN.name: margins,
        LOSS.name: torch.nn.functional.softplus(labels.required - margins),
        GRADIENT_NORM.name: labels.weights.abs() * labels.sq_norms.sum(1).sqrt(),
    }
    scores = aligned.sum((0, 3))
    effects = influence.influence(scores, labels.weights, labels.rows)
    flips = influence.flip_effect(
        scores, labels.weights, labels.flipped_weights, labels.rows
    )
    for i, name in enumerate(columns.names):
        by_group = aligned[:, labels.rows, i]  # [l, n, g]
        ihvp, shares = columns.ihvps[i].sum(1), columns.shares[i]
        damped = columns.damped[i]
        scales = torch.ones_like(margins) if damped is None else damped(labels)
        variance = uncertainty.sketch_variance(
            labels.sq_norms, ihvp, by_group.sum(2), layers, scales
        ) + uncertainty.query_variance(by_group.sum(0), shares)
        values[INFLUENCE.of(name)] = effects[:, i]
        values[ERROR.of(name)] = labels.weights.abs() * variance.sqrt()
        values[FLIP_EFFECT.of(name)] = flips[:, i]
    missing = ~labels.usable.numpy()
    for name, column in values.items():
        # + 0.0: a negative zero would print as -0.0
        table = table.append_column(name, pa.array(column.numpy() + 0.0, mask=missing))
    for i, name in enumerate(columns.names):
        if name in columns.detailed:
            parts = -labels.weights[:, None] * aligned[:, labels.rows, i].sum(0)
            table = table.append_column(PARTS.of(name), _lists(parts, missing))
    return table


def _edited(table: pa.Table, signs: np.ndarray) -> pa.Table:
    """The kept columns, with what a flip by an edit changes in them."""
    table = table.drop_columns(["row", "required_margin"])
    turned = signs * table["sign"].to_numpy()
    for name in ("sign", "length_difference"):
        place, kind = table.column_names.index(name), table.schema.field(name).type
        values = pa.array(turned * table[name].to_numpy()).cast(kind)
        table = table.set_column(place, name, values)
    return table


def _lists(values: Float[Tensor, "n g"], missing: np.ndarray) -> pa.Array:
    flat = pa.array(values.flatten().numpy().astype(np.float32) + np.float32(0))
    return pa.FixedSizeListArray.from_arrays(
        flat, values.shape[1], mask=pa.array(missing)
    )
