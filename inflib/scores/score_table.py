"""Solved query vectors and a shard to its labels' scores and standard errors, a table.

k  entries of a sketch     l  layers     q  scores     g  query groups
n  labels     c  comparisons     p  probes
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
    FLIP_PARTS,
    GRADIENT_NORM,
    INFLUENCE,
    LOSS,
    MARGIN,
    PARTS,
    REQUIRED_MARGIN,
    SELF_INFLUENCE,
    STATUS,
    TARGET,
    WEIGHT,
)
from inflib.data.pairs_folder import Shard
from inflib.numerics import influence, quantized_products, uncertainty
from inflib.numerics.layer_bins import Layer
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.sketches.manifest import read_layers
from inflib.storage.folder import Folder

_TURNED = ("sign", "length_difference")
"""Columns of a label whose sign a flip changes."""


@dataclass(frozen=True)
class DampedRatio:
    """The ratio |lambda (H + lambda I)^-1 s| / |s| of each label, to first order.

    It is factor / (1 + leverage / (n lambda)), derived in docs/design.md: by Sherman &
    Morrison, the comparison's own rank-one term of H shortens s to 1 / (1 + leverage /
    (n lambda)) of its length, and all other terms shorten it to `factor` of that.
    """

    kind: Curvature
    """The curvature that the leverage is of."""

    n_lambda: float
    """n lambda: a leverage of this size halves the ratio."""

    factor: float
    """Share of the length that H's other terms leave: one estimate for all labels."""

    def __call__(self, labels: Labels) -> Float[Tensor, " n"]:
        """The ratio of each label of a shard."""
        return self.factor / (1 + labels.leverage(self.kind) / self.n_lambda)


@dataclass(frozen=True)
class ScoreVectors:
    """The vectors that labels are scored with, and what their errors need."""

    names: list[str]
    """Curvature and query set of each score, gauss_newton_expert for example."""

    ihvps: Float[Tensor, "q k g"]
    """H^-1 v of each score, as shares of the query groups, whose sum it is."""

    shares: Float[Tensor, "q g"]
    """Share of the query set's labels in each query group."""

    damped: list[DampedRatio | None]
    """For each score, how much H shortens a label's sketch error; None where H is not
    a sum over sketches."""

    detailed: tuple[str, ...] = ()
    """Scores whose influence is also written by query group."""

    probes: dict[str, Float[Tensor, "k p"]] = field(default_factory=dict)
    """{curvature: random vectors with covariance (H + lambda I)^-1}, for influence of
    labels on their own loss."""

    @staticmethod
    def join(all_columns: "list[ScoreVectors]") -> "ScoreVectors":
        """All scores side by side; `detailed`, if the first names none, its scores."""
        first = all_columns[0]
        return ScoreVectors(
            [name for columns in all_columns for name in columns.names],
            torch.cat([columns.ihvps for columns in all_columns]),
            torch.cat([columns.shares for columns in all_columns]),
            [damped for columns in all_columns for damped in columns.damped],
            first.detailed or tuple(first.names),
            {kind: x for columns in all_columns for kind, x in columns.probes.items()},
        )


def write_scores(
    sketches: SketchSet,
    shards: list[Shard],
    target: Folder,
    name: str,
    columns: ScoreVectors,
) -> None:
    """Write the scores of a task's shards to the file partial_name(name, shards) of
    `target`."""
    table = pa.concat_tables(score_shards(sketches, shards, columns))
    target.write_table(partial_name(name, shards), table)


def partial_name(name: str, shards: list[Shard]) -> str:
    """Name of the file with the scores of a task's shards: after the first of them."""
    return f"{name}-{shards[0].name}.parquet"


def score_shards(
    sketches: SketchSet, shards: list[Shard], columns: ScoreVectors
) -> Iterator[pa.Table]:
    """A table of scores of each shard's labels, see data.output_columns.

    With probes also self-influence, g' (H + lambda I)^-1 g of each label: large where
    the label's gradient g lies in directions that few other labels' gradients share.
    """
    layers = read_layers(sketches.run)
    flat = columns.ihvps.movedim(0, 1).flatten(1)  # [k, q g]
    layer_ihvps = [quantized_products.Vectors(flat[layer.bins]) for layer in layers]
    probes = {kind: quantized_products.Vectors(x) for kind, x in columns.probes.items()}
    for shard in shards:
        labels = sketches.labels(shard)
        entries, scales = sketches.payload(shard, labels)
        by_layer = [
            quantized_products.times(entries[:, layer.bins], scales, vectors)
            for layer, vectors in zip(layers, layer_ihvps, strict=True)
        ]
        aligned = torch.stack(by_layer).unflatten(2, columns.shares.shape)
        table = _score(sketches.table(shard), labels, aligned, columns, layers)
        for kind, vectors in probes.items():
            products = quantized_products.times(entries, scales, vectors)
            squares = products.square().mean(1)[labels.rows]
            influences = (labels.derivatives.square() * squares).numpy()
            column = pa.array(influences, mask=~labels.usable.numpy())
            table = table.append_column(SELF_INFLUENCE.of(kind), column)
        yield table


def _score(
    table: pa.Table,
    labels: Labels,
    aligned: Float[Tensor, "l c q g"],
    columns: ScoreVectors,
    layers: list[Layer],
) -> pa.Table:
    """The labels of a shard with their columns but self-influence.

    table: their labels file; aligned: s . H^-1 v by layer and query group. Null where a
    comparison is not finite. A flip effect has the same relative error as influence, so
    there is no column for it.
    """
    table = _edited(table, labels)
    table = table.append_column(STATUS.name, pa.array(labels.status, pa.string()))
    margins = labels.signs * labels.margins
    values = {
        MARGIN.name: margins,
        LOSS.name: labels.losses,
        GRADIENT_NORM.name: labels.gradient_norms,
    }
    scores = aligned.sum((0, 3))
    effects = influence.influence(scores, labels.derivatives, labels.rows)
    flips = influence.flip_effect(
        scores, labels.derivatives, labels.flipped_derivatives, labels.rows
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
        values[ERROR.of(name)] = labels.derivatives.abs() * variance.sqrt()
        values[FLIP_EFFECT.of(name)] = flips[:, i]
    missing = ~labels.usable.numpy()
    for name, column in values.items():
        # + 0.0: a negative zero would print as -0.0
        table = table.append_column(name, pa.array(column.numpy() + 0.0, mask=missing))
    for i, name in enumerate(columns.names):
        if name in columns.detailed:
            by_group = aligned[:, :, i].sum(0)  # [c, g]
            parts = influence.influence(by_group, labels.derivatives, labels.rows)
            flip_parts = influence.flip_effect(
                by_group, labels.derivatives, labels.flipped_derivatives, labels.rows
            )
            for kind, lists in ((PARTS, parts), (FLIP_PARTS, flip_parts)):
                table = table.append_column(kind.of(name), _lists(lists, missing))
    return table


def _edited(table: pa.Table, labels: Labels) -> pa.Table:
    """The columns kept with the labels; those that an edit changes are as edited."""
    table = table.drop_columns(["row"])
    flips = labels.signs.numpy() * table["sign"].to_numpy()  # -1 for a flipped label
    edited = {name: flips * table[name].to_numpy() for name in _TURNED}
    edited[REQUIRED_MARGIN.name] = labels.required.numpy()
    edited[TARGET.name] = labels.targets.numpy()
    edited[WEIGHT.name] = labels.importance.numpy()
    for name, values in edited.items():
        index, dtype = table.column_names.index(name), table.schema.field(name).type
        table = table.set_column(index, name, pa.array(values).cast(dtype))
    return table


def _lists(values: Float[Tensor, "n g"], missing: np.ndarray) -> pa.Array:
    """A list of float32 for each row; null where missing."""
    flat = pa.array(values.flatten().numpy().astype(np.float32) + np.float32(0))
    return pa.FixedSizeListArray.from_arrays(
        flat, values.shape[1], mask=pa.array(missing)
    )
