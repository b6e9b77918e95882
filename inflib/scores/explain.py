"""Which training labels drive single query labels.

    k  entries of a sketch     m  query labels     n  training labels

Influence of label i on query label j is -g_j . H^-1 g_i, as in numerics.influence but
not averaged over the query set: positive when the label raises this one loss. Cosine is
that of the two losses' gradients: positive when a step for one lowers the loss of the
other. With sketches it is an estimate, with exact norms below and cut at 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.config.score import QueryLoss
from inflib.data.pairs_folder import Shard
from inflib.numerics import influence, quantized_products
from inflib.scores.sketch_set import SketchSet
from inflib.sketches import store

HARMFUL, HELPFUL, NEAREST, LISTED = "harmful", "helpful", "nearest", "listed"
"""Why a training label is in the table: among the largest influences, the smallest
ones, the largest cosines; or asked for."""

ROWS = pa.schema(
    [
        ("query_pair_id", pa.string()),
        ("role", pa.string()),
        ("rank", pa.int32()),
        ("pair_id", pa.string()),
        ("comparison_id", pa.string()),
        ("influence", pa.float64()),
        ("cosine", pa.float64()),
        ("shard", pa.string()),
    ]
)


@dataclass(frozen=True)
class QueryLabels:
    """Query labels, one by one."""

    ids: list[str]
    gradients: Float[Tensor, "k m"]
    """Sketches of the query loss's gradients, float64."""

    norms: Float[Tensor, " m"]
    """Of the whole gradients."""


def read_ids(values: Iterable[str]) -> list[str]:
    """Ids; @FILE stands for those in a file, one a line. Raises ValueError naming a
    file that is not there, or has none."""
    found: list[str] = []
    for value in values:
        if not value.startswith("@"):
            found.append(value)
            continue
        path = Path(value[1:])
        if not path.is_file():
            raise ValueError(f"{path}: no such file of pair_ids")
        lines = path.read_text().split("\n")
        ids = [line.strip() for line in lines if line.strip()]
        if not ids:
            raise ValueError(f"{path}: no pair_ids")
        found += ids
    return list(dict.fromkeys(found))


def find_labels(
    sketches: SketchSet, wanted: list[str]
) -> list[tuple[Shard, list[str]]]:
    """Shards with the wanted labels in them that count; all labels if none are named.

    Raises ValueError naming the first label that is unknown or has no gradient.
    """
    shards, unknown, missing = [], set(wanted), set(wanted)
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        ids = labels.table["pair_id"].to_pylist()
        unknown -= set(ids)
        usable = [i for i, counts in zip(ids, labels.counted, strict=True) if counts]
        picked = [i for i in usable if not wanted or i in missing]
        missing -= set(picked)
        if picked:
            shards.append((shard, picked))
    for pair_id in wanted:
        if pair_id in unknown:
            raise ValueError(f"{pair_id!r} is no label of {sketches.name}")
        if pair_id in missing:
            raise ValueError(
                f"{pair_id!r} of {sketches.name} has no finite, non-zero gradient"
            )
    return shards


def read_query_labels(
    sketches: SketchSet, shard: Shard, ids: list[str], loss: QueryLoss
) -> QueryLabels:
    """Some labels of a shard of a query set."""
    labels = sketches.labels(shard)
    places = {
        pair_id: i for i, pair_id in enumerate(labels.table["pair_id"].to_pylist())
    }
    picked = torch.tensor([places[pair_id] for pair_id in ids])
    rows, weights = labels.rows[picked], labels.query_weights(loss)[picked]
    entries, scales = sketches.payload(shard)
    decoded = store.decode(entries[rows.numpy()], scales[rows].numpy()).double()
    norms = labels.sq_norms[picked].sum(1).sqrt() * weights.abs()
    return QueryLabels(ids, (weights[:, None] * decoded).T.contiguous(), norms)


def explain_shards(
    sketches: SketchSet,
    shards: list[Shard],
    queries: QueryLabels,
    ihvps: Float[Tensor, "k m"],
    top: int,
    listed: frozenset[str],
) -> pa.Table:
    """ROWS of a group of shards, `top` of each role for each query label.

    ihvps: H^-1 of the gradients.
    """
    vectors = quantized_products.Vectors(torch.cat([ihvps, queries.gradients], dim=1))
    tables = []
    for shard in shards:
        labels = sketches.labels(shard)
        aligned = quantized_products.times(*sketches.payload(shard), vectors)
        # -w s . x is influence; with x = g_j, minus the product of both gradients.
        both = influence.influence(aligned, labels.weights, labels.rows)
        scores, minus_products = both.tensor_split(2, dim=1)
        norms = labels.weights.abs() * labels.sq_norms.sum(1).sqrt()
        cosines = (-minus_products / norms[:, None] / queries.norms).clamp(-1, 1)
        some = labels.counted.numpy()
        table = labels.table.select(["pair_id", "comparison_id"]).filter(some)
        table = table.append_column("shard", pa.array([shard.name] * len(table)))
        tables.append(
            _rows(table, queries.ids, scores[some], cosines[some], top, listed)
        )
    return best(pa.concat_tables(tables), top)


def _rows(
    table: pa.Table,
    queries: list[str],
    scores: Float[Tensor, "n m"],
    cosines: Float[Tensor, "n m"],
    top: int,
    listed: frozenset[str],
) -> pa.Table:
    ids = table["pair_id"].to_pylist()
    places = [i for i, pair_id in enumerate(ids) if pair_id in listed]
    own = torch.tensor(places, dtype=torch.long)
    count = min(top, len(ids))
    picks = {
        HARMFUL: scores.topk(count, 0).indices,
        HELPFUL: scores.topk(count, 0, largest=False).indices,
        NEAREST: cosines.topk(count, 0).indices,
        LISTED: own[:, None].expand(-1, len(queries)),
    }
    parts = []
    for role, picked in picks.items():
        row, column = picked.flatten(), torch.arange(len(queries)).repeat(len(picked))
        part = table.take(row.numpy())
        columns: dict[str, Any] = {
            "query_pair_id": [queries[j] for j in column.tolist()],
            "role": [role] * len(row),
            "rank": [0] * len(row),
            "influence": scores[row, column].numpy(),
            "cosine": cosines[row, column].numpy(),
        }
        for name in table.column_names:
            columns[name] = part[name].combine_chunks()
        parts.append(pa.table({name: columns[name] for name in ROWS.names}, ROWS))
    return pa.concat_tables(parts)


def best(table: pa.Table, top: int) -> pa.Table:
    """Of each query label and role the `top` first ones, all that are listed; ranked,
    in the order of the query labels' first rows."""
    queries = pc.dictionary_encode(table["query_pair_id"].combine_chunks()).indices
    roles = pc.index_in(table["role"], pa.array([HARMFUL, HELPFUL, NEAREST, LISTED]))
    role = roles.to_numpy()
    value = np.where(role == 2, table["cosine"], table["influence"])
    order = np.lexsort((np.where(role == 1, value, -value), role, queries.to_numpy()))
    group = queries.to_numpy()[order] * 4 + role[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    rank = np.arange(len(group)) - np.repeat(starts, np.diff([*starts, len(group)])) + 1
    keep = (rank <= top) | (role[order] == 3)
    table = table.take(order[keep])
    place = table.column_names.index("rank")
    return table.set_column(place, "rank", pa.array(rank[keep].astype(np.int32)))
