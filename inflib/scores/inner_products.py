"""Sketches of a run to the inner products of all its labels' margin gradients: for runs
of some thousand labels.

    n  training labels     q  query labels     k  entries of a sketch
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.data.output_columns import GRADIENT_NORM, LOSS, MARGIN
from inflib.data.pairs_folder import Shard
from inflib.numerics import preference_loss
from inflib.numerics.dense_influence import LabelProducts
from inflib.scores.labels import Labels
from inflib.scores.sketch_set import SketchSet
from inflib.sketches import store
from inflib.sketches.manifest import Manifest
from inflib.storage.folder import Folder

MOST = 8_000
"""Labels, training and query ones, up to which all inner products are computed."""

_CHUNK = 4096
"""Entries of sketches that are multiplied at once."""


@dataclass(frozen=True)
class RunProducts:
    """Training labels that count and the labels of one query set, in plan order."""

    labels: LabelProducts
    """By the loss without label smoothing, as scores are."""

    by_smoothed_loss: LabelProducts
    """By the loss of training."""

    columns: dict[str, np.ndarray]
    """Columns of the training labels: those of their labels file, with `margin`,
    `loss` and `gradient_norm` as data.output_columns says."""

    turned: Float[np.ndarray, " n"]
    """What `labels.derivatives` would be if each label were turned round."""

    slopes: Float[np.ndarray, " q"]
    """Derivative of each query label's Bradley-Terry loss in its margin."""

    query_targets: Float[np.ndarray, " q"]
    """Probability that the chosen response of each query label is the better one."""

    flipped_slopes: Float[np.ndarray, " q"]
    """`slopes` if each query label were turned round."""

    in_plan: np.ndarray
    """[labels of the query set with a weight] whether each is among the q."""

    num_parameters: int

    learning_rate_sum: float | None
    """Of training, where the sketches are in the metric of Adam."""


def read_products(
    run: Folder,
    query: str,
    num_parameters: int,
    smoothing: float = 0.0,
    takes: Callable[[str], bool] = lambda comparison_id: True,
) -> RunProducts:
    """Inner products of a run's labels that count and have a weight, by their sketches.

    smoothing: train.label_smoothing; takes: whether the training labels on a
    comparison_id are among them. Raises ValueError for a run of too many labels.
    """
    train, queries = (_read(SketchSet(run, name)) for name in ("train", query))
    keep = np.array([takes(c) for c in train.table["comparison_id"]])
    count = int(keep.sum()) + len(queries.signs)
    if count > MOST:
        raise ValueError(
            f"{run.url} has {count:,} labels: inner products of all of them are for up "
            f"to {MOST:,}"
        )
    used = torch.from_numpy(keep)
    sketches = torch.cat(
        [
            train.sketches[train.rows[used]] * train.signs[used, None],
            queries.sketches[queries.rows] * queries.signs[:, None],
        ]
    )
    products = torch.zeros(count, count, dtype=torch.float64)
    for part in sketches.split(_CHUNK, dim=1):
        products += (part @ part.T).double()
    columns = {name: values[keep] for name, values in train.table.items()}
    plain = train.derivatives[keep]
    sides = _sides(columns)
    labels = LabelProducts(products.numpy(), plain, train.curvatures[keep])
    smoothed = plain + smoothing * sides
    return RunProducts(
        labels,
        LabelProducts(labels.products, smoothed, labels.curvatures),
        columns,
        _turned(columns),
        queries.derivatives,
        queries.table["target"],
        queries.derivatives + _sides(queries.table),
        queries.in_plan,
        num_parameters,
        Manifest(run).learning_rate_sum,
    )


@dataclass(frozen=True)
class _Read:
    """The labels of a pair set that count, by their gradient and their weight."""

    sketches: Float[Tensor, "c k"]
    rows: Tensor
    signs: Float[Tensor, " n"]
    derivatives: np.ndarray
    """Of the loss in r(chosen) - r(rejected)."""

    curvatures: np.ndarray
    table: dict[str, np.ndarray]
    in_plan: np.ndarray


def _read(sketches: SketchSet) -> _Read:
    parts: list[tuple[Tensor, ...]] = []
    tables: list[dict[str, np.ndarray]] = []
    weighted: list[np.ndarray] = []
    start = 0
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        entries, scales = sketches.payload(shard, labels)
        whole = store.decode(entries, scales.numpy())
        counted = labels.counted & (labels.importance > 0)
        parts.append(
            (
                whole,
                (labels.rows + start)[counted],
                labels.signs[counted].float(),
                (labels.derivatives * labels.signs)[counted],
                labels.curvature_weights("gauss_newton")[counted],
            )
        )
        start += len(whole)
        tables.append(_columns(sketches, shard, labels, counted))
        weighted.append(counted.numpy()[labels.importance.numpy() > 0])
    whole, rows, signs, derivatives, curvatures = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    table = {n: np.concatenate([part[n] for part in tables]) for n in tables[0]}
    in_plan = np.concatenate(weighted)
    return _Read(
        whole, rows, signs, derivatives.numpy(), curvatures.numpy(), table, in_plan
    )


def _turned(table: dict[str, np.ndarray]) -> Float[np.ndarray, " n"]:
    """Derivative of each label's loss in its margin if it were turned round."""
    margin, required, target = (
        torch.from_numpy(table[name].astype(float))
        for name in (MARGIN.name, "required_margin", "target")
    )
    excess = -margin - required
    return -table["weight"] * preference_loss.derivatives(excess, target).numpy()


def _sides(table: dict[str, np.ndarray]) -> Float[np.ndarray, " n"]:
    """By how much the derivative of each label's loss rises when it is turned round."""
    return table["weight"] * (2 * table["target"] - 1)


def _columns(
    sketches: SketchSet, shard: Shard, labels: Labels, counted: Tensor
) -> dict[str, np.ndarray]:
    table = sketches.table(shard)
    columns = {
        name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names
    }
    columns[MARGIN.name] = (labels.signs * labels.margins).numpy()
    columns[LOSS.name] = labels.losses.numpy()
    columns[GRADIENT_NORM.name] = labels.gradient_norms.numpy()
    return {name: column[counted.numpy()] for name, column in columns.items()}
