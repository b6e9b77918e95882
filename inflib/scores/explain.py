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
from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.numerics import influence, quantized_products
from inflib.scores.labels import read_labels
from inflib.scores.sums import read_payload
from inflib.sketches import store
from inflib.storage.folder import Folder

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
class Asked:
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
    run: Folder, pairs: str, wanted: list[str]
) -> list[tuple[Shard, list[str]]]:
    """Shards with the wanted labels in them that count; all labels if none are named.

    Raises ValueError naming the first label that is unknown or has no gradient.
    """
    found, left, missing = [], set(wanted), set(wanted)
    for shard in PairsFolder(run / "pairs" / pairs).plan():
        labels = read_labels(run, pairs, shard)
        ids = labels.table["pair_id"].to_pylist()
        left -= set(ids)
        usable = [i for i, counts in zip(ids, labels.counted, strict=True) if counts]
        own = [i for i in usable if not wanted or i in missing]
        missing -= set(own)
        if own:
            found.append((shard, own))
    for pair_id in wanted:
        if pair_id in left:
            raise ValueError(f"{pair_id!r} is no label of {pairs}")
        if pair_id in missing:
            raise ValueError(f"{pair_id!r} of {pairs} has no finite, non-zero gradient")
    return found


def read_asked(
    run: Folder, query: str, shard: Shard, ids: list[str], loss: QueryLoss
) -> Asked:
    """Some labels of a shard."""
    labels = read_labels(run, query, shard)
    places = {
        pair_id: i for i, pair_id in enumerate(labels.table["pair_id"].to_pylist())
    }
    own = torch.tensor([places[pair_id] for pair_id in ids])
    rows, weights = labels.rows[own], labels.query_weights(loss)[own]
    payload, scales = read_payload(run, query, shard)
    sketches = store.decode(payload[rows.numpy()], scales[rows].numpy()).double()
    norms = labels.sq_norms[own].sum(1).sqrt() * weights.abs()
    return Asked(ids, (weights[:, None] * sketches).T.contiguous(), norms)


def explain_shards(
    run: Folder,
    pairs: str,
    shards: list[Shard],
    asked: Asked,
    ihvps: Float[Tensor, "k m"],
    top: int,
    listed: frozenset[str],
) -> pa.Table:
    """ROWS of a group of shards, `top` of each role for each query label.

    ihvps: H^-1 of the gradients.
    """
    vectors = quantized_products.Vectors(torch.cat([ihvps, asked.gradients], dim=1))
    parts = []
    for shard in shards:
        labels = read_labels(run, pairs, shard)
        aligned = quantized_products.times(*read_payload(run, pairs, shard), vectors)
        # -w s . x is influence; with x = g_j, minus the product of both gradients.
        found = influence.influence(aligned, labels.weights, labels.rows)
        scores, inner = found.tensor_split(2, dim=1)
        norms = labels.weights.abs() * labels.sq_norms.sum(1).sqrt()
        cosines = (-inner / norms[:, None] / asked.norms).clamp(-1, 1)
        some = labels.counted.numpy()
        table = labels.table.select(["pair_id", "comparison_id"]).filter(some)
        table = table.append_column("shard", pa.array([shard.name] * len(table)))
        parts.append(_rows(table, asked.ids, scores[some], cosines[some], top, listed))
    return best(pa.concat_tables(parts), top)


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
