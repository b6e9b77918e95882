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

from inflib.config.score import Kind
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import Shard
from inflib.numerics import influence, quantized_products, uncertainty
from inflib.numerics.layer_bins import Layer
from inflib.scores.labels import Labels, read_labels
from inflib.scores.sums import read_payload
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Damped:
    """How much shorter lambda (H + lambda I)^-1 s is than s, for every label, roughly:
    what a label's own share of H does, times what the others' do on average."""

    kind: Kind
    unit: float
    """n lambda: a leverage of this size halves the length."""

    factor: float
    """Of the others."""

    def __call__(self, labels: Labels) -> Float[Tensor, " n"]:
        return self.factor / (1 + labels.leverage(self.kind) / self.unit)


@dataclass(frozen=True)
class Columns:
    """What a shard's labels are scored with: H^-1 v as shares of query groups."""

    names: list[str]
    ihvps: Float[Tensor, "q k g"]
    """For each name."""

    shares: Float[Tensor, "q g"]
    """Share of its query labels in each group."""

    damped: list[Damped | None]
    """For each name; None where H does not depend on the sketch."""

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


def score_shards(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    columns: Columns,
    edits: Edits | None = None,
) -> Iterator[pa.Table]:
    """The scores of each shard, see `_score`; with probes, also self_influence_<kind>:
    g' (H + lambda I)^-1 g of each label, how far its gradient lies from the others'."""
    layers = read_layers(run)
    flat = columns.ihvps.movedim(0, 1).flatten(1)  # [k, q g]
    prepared = [quantized_products.Vectors(flat[layer.bins]) for layer in layers]
    probes = {kind: quantized_products.Vectors(x) for kind, x in columns.probes.items()}
    for shard in shards:
        labels = read_labels(run, pairs, shard, edits)
        payload, scales = read_payload(run, pairs, shard)
        parts = [
            quantized_products.times(payload[:, layer.bins], scales, vectors)
            for layer, vectors in zip(layers, prepared, strict=True)
        ]
        aligned = torch.stack(parts).unflatten(2, columns.shares.shape)
        table = _score(labels, aligned, columns, layers)
        for kind, vectors in probes.items():
            squares = (
                quantized_products.times(payload, scales, vectors).square().mean(1)
            )
            own = labels.weights.square() * squares[labels.rows]
            missing = ~labels.usable.numpy()
            column = pa.array(own.numpy(), mask=missing)
            table = table.append_column(f"self_influence_{kind}", column)
        yield table


def _score(
    labels: Labels,
    aligned: Float[Tensor, "l c q g"],
    columns: Columns,
    layers: list[Layer],
) -> pa.Table:
    """Labels of a shard: status, margin, loss, gradient norm, influences, their
    standard errors, flip effects.

    influence_<name>, error_<name>, flip_effect_<name> come out; a flip effect has
    influence's error relative to its size. parts_<name>, for the first curvature, is
    what each query group adds to influence. Margins are chosen - rejected. Null where
    a comparison is not finite.
    """
    table = _edited(labels.table, labels.signs.numpy())
    table = table.append_column("status", pa.array(labels.status, pa.string()))
    margins = labels.signs * labels.margins
    found = {
        "margin": margins,
        "loss": torch.nn.functional.softplus(labels.required - margins),
        "gradient_norm": labels.weights.abs() * labels.sq_norms.sum(1).sqrt(),
    }
    scores = aligned.sum((0, 3))
    effects = influence.influence(scores, labels.weights, labels.rows)
    flips = influence.flip_effect(
        scores, labels.weights, labels.flipped_weights, labels.rows
    )
    for i, name in enumerate(columns.names):
        own = aligned[:, labels.rows, i]
        ihvp, shares = columns.ihvps[i].sum(1), columns.shares[i]
        damped = columns.damped[i]
        scales = torch.ones_like(margins) if damped is None else damped(labels)
        variance = uncertainty.sketch_variance(
            labels.sq_norms, ihvp, own.sum(2), layers, scales
        ) + uncertainty.query_variance(own.sum(0), shares)
        found[f"influence_{name}"] = effects[:, i]
        found[f"error_{name}"] = labels.weights.abs() * variance.sqrt()
        found[f"flip_effect_{name}"] = flips[:, i]
    missing = ~labels.usable.numpy()
    for name, values in found.items():
        # + 0.0: a negative zero would print as -0.0
        table = table.append_column(name, pa.array(values.numpy() + 0.0, mask=missing))
    for i, name in enumerate(columns.names):
        if name in columns.detailed:
            parts = -labels.weights[:, None] * aligned[:, labels.rows, i].sum(0)
            table = table.append_column(f"parts_{name}", _lists(parts, missing))
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
