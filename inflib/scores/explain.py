"""Single query labels to the training labels that drive them, with their influence.

    k  entries of a sketch     m  query labels     n  training labels

Influence of label i on query label j is -g_j . H^-1 g_i, as in numerics.influence but
not averaged over the query set: positive when the label raises the loss of this query
label, whose weight is a factor of it. The cosine is that of the two losses' gradients:
positive when a step that lowers one loss lowers the other. It is estimated: the inner
product is that of the sketches, the norms are exact, and the ratio is clamped to -1 to
1; 0 for labels without a gradient (a tie that the model calls one, or one with the
margin loss).
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
"""Role of a training label in the table: among the largest influences, among the
smallest, among the largest cosines, or named by explain.train_pairs."""

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
"""One row for each query label, role and training label. rank: 1 for the first of its
role; comparison_id and shard are the training label's."""


@dataclass(frozen=True)
class QueryLabels:
    """Query labels with the gradient of each one's query loss."""

    ids: list[str]
    """Their pair_ids."""

    gradients: Float[Tensor, "k m"]
    """Sketches of the gradients, float64."""

    norms: Float[Tensor, " m"]
    """Norms of the whole gradients, not of their sketches."""


def read_ids(values: Iterable[str]) -> list[str]:
    """pair_ids without repeats; a value @FILE stands for those in FILE, one a line.

    Raises ValueError naming a file that is not there, or has none.
    """
    ids: list[str] = []
    for value in values:
        if not value.startswith("@"):
            ids.append(value)
            continue
        path = Path(value[1:])
        if not path.is_file():
            raise ValueError(f"{path}: no such file of pair_ids")
        lines = path.read_text().split("\n")
        from_file = [line.strip() for line in lines if line.strip()]
        if not from_file:
            raise ValueError(f"{path}: no pair_ids")
        ids += from_file
    return list(dict.fromkeys(ids))


def find_labels(
    sketches: SketchSet, pair_ids: list[str]
) -> list[tuple[Shard, list[str]]]:
    """[(shard, those of the pair_ids that are in it)] of the shards that hold any.

    Without pair_ids, all labels that count (a finite gradient, not zero, and a weight).
    Raises ValueError naming the first label that is unknown or does not count.
    """
    shards, unknown, missing = [], set(pair_ids), set(pair_ids)
    for shard in sketches.plan():
        labels = sketches.labels(shard)
        ids = sketches.table(shard, ["pair_id"])["pair_id"].to_pylist()
        unknown -= set(ids)
        counted = labels.counted & (labels.importance > 0)
        usable = [i for i, counts in zip(ids, counted, strict=True) if counts]
        picked = [i for i in usable if not pair_ids or i in missing]
        missing -= set(picked)
        if picked:
            shards.append((shard, picked))
    for pair_id in pair_ids:
        if pair_id in unknown:
            raise ValueError(f"{pair_id!r} is no label of {sketches.name}")
        if pair_id in missing:
            raise ValueError(
                f"{pair_id!r} of {sketches.name} has no finite, non-zero gradient, or "
                "weight 0"
            )
    return shards


def read_query_labels(
    sketches: SketchSet, shard: Shard, ids: list[str], loss: QueryLoss
) -> QueryLabels:
    """The labels with these pair_ids, of one shard of a query set."""
    labels = sketches.labels(shard)
    in_shard = sketches.table(shard, ["pair_id"])["pair_id"].to_pylist()
    index_of = {pair_id: i for i, pair_id in enumerate(in_shard)}
    picked = torch.tensor([index_of[pair_id] for pair_id in ids])
    rows, derivatives = labels.rows[picked], labels.query_derivatives(loss)[picked]
    entries, scales = sketches.payload(shard, labels)
    decoded = store.decode(entries[rows.numpy()], scales[rows].numpy()).double()
    norms = labels.sq_norms[picked].sum(1).sqrt() * derivatives.abs()
    return QueryLabels(ids, (derivatives[:, None] * decoded).T.contiguous(), norms)


def explain_shards(
    sketches: SketchSet,
    shards: list[Shard],
    queries: QueryLabels,
    ihvps: Float[Tensor, "k m"],
    top: int,
    listed: frozenset[str],
) -> pa.Table:
    """Table (ROWS) of the labels of these shards that drive each query label.

    The `top` of each role, and all labels whose pair_id is in `listed`. ihvps: H^-1
    times the queries' gradients.
    """
    vectors = quantized_products.Vectors(torch.cat([ihvps, queries.gradients], dim=1))
    tables = []
    for shard in shards:
        labels = sketches.labels(shard)
        aligned = quantized_products.times(*sketches.payload(shard, labels), vectors)
        # -d s . x is influence for x = H^-1 g_j; for x = g_j, minus the inner product.
        products = influence.influence(aligned, labels.derivatives, labels.rows)
        scores, minus_products = products.tensor_split(2, dim=1)
        norms = labels.gradient_norms
        norms = torch.where(norms > 0, norms, 1.0)[:, None]
        query_norms = torch.where(queries.norms > 0, queries.norms, 1.0)
        cosines = (-minus_products / norms / query_norms).clamp(-1, 1)
        counted = labels.counted.numpy()
        table = sketches.table(shard, ["pair_id", "comparison_id"]).filter(counted)
        table = table.append_column("shard", pa.array([shard.name] * len(table)))
        tables.append(
            _rows(table, queries.ids, scores[counted], cosines[counted], top, listed)
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
    """ROWS of one shard, not ranked; table: its labels that count."""
    ids = table["pair_id"].to_pylist()
    listed_rows = torch.tensor(
        [i for i, pair_id in enumerate(ids) if pair_id in listed], dtype=torch.long
    )
    count = min(top, len(ids))
    picks = {
        HARMFUL: scores.topk(count, 0).indices,
        HELPFUL: scores.topk(count, 0, largest=False).indices,
        NEAREST: cosines.topk(count, 0).indices,
        LISTED: listed_rows[:, None].expand(-1, len(queries)),
    }
    tables = []
    for role, picked in picks.items():
        row, column = picked.flatten(), torch.arange(len(queries)).repeat(len(picked))
        labels = table.take(row.numpy())
        columns: dict[str, Any] = {
            "query_pair_id": [queries[j] for j in column.tolist()],
            "role": [role] * len(row),
            "rank": [0] * len(row),
            "influence": scores[row, column].numpy(),
            "cosine": cosines[row, column].numpy(),
        }
        for name in table.column_names:
            columns[name] = labels[name].combine_chunks()
        tables.append(pa.table({name: columns[name] for name in ROWS.names}, ROWS))
    return pa.concat_tables(tables)


def best(table: pa.Table, top: int) -> pa.Table:
    """The rows of a table (ROWS) that are the `top` of their query label and role, and
    all listed ones; ranked, in the order of the query labels' first rows."""
    queries = pc.dictionary_encode(table["query_pair_id"].combine_chunks()).indices
    roles = pc.index_in(table["role"], pa.array([HARMFUL, HELPFUL, NEAREST, LISTED]))
    role = roles.to_numpy()
    value = np.where(role == 2, table["cosine"], table["influence"])
    order = np.lexsort((np.where(role == 1, value, -value), role, queries.to_numpy()))
    lists = queries.to_numpy()[order] * 4 + role[order]
    starts = np.flatnonzero(np.diff(lists, prepend=-1))
    rank = np.arange(len(lists)) - np.repeat(starts, np.diff([*starts, len(lists)])) + 1
    keep = (rank <= top) | (role[order] == 3)
    table = table.take(order[keep])
    index = table.column_names.index("rank")
    return table.set_column(index, "rank", pa.array(rank[keep].astype(np.int32)))
