"""A store of generated sketches: what scoring reads, without a model behind it.

n  comparisons of a shard     k  entries of a sketch     l  layers
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.data.pairs_folder import COMPARISONS, LABELS, PairsFolder, Shard
from inflib.numerics.layer_bins import Layer, to_json
from inflib.sketches import store
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class Generated:
    """A shard's comparisons and labels."""

    sketches: Float[Tensor, "n k"]
    margins: Float[Tensor, " n"]
    sq_norms: Float[Tensor, "n l"]
    """|s|^2 by layer; not finite: a comparison to be left out."""

    signs: list[int]
    """Of each label."""

    rows: list[int] | None = None
    """Comparison of each label; by default one label each."""

    kept: dict[str, list[Any]] = field(default_factory=dict)
    """Columns kept with the labels."""


def write_manifest(run: Folder, layers: list[Layer]) -> None:
    manifest = {"format": store.FORMAT, "layers": to_json(layers)}
    (run / "sketches").write_json("manifest.json", manifest)


def write_set(
    run: Folder, pairs: str, shards: Iterable[Generated], dtype: str = "float32"
) -> list[Shard]:
    """Write pairs/<pairs>/ and sketches/<pairs>/; returns the plan."""
    target, plan = PairsFolder(run / "pairs" / pairs), []
    for number, made in enumerate(shards):
        name = f"{number:05}"
        ids = [_identity(pairs, number, i) for i in range(len(made.margins))]
        shard = target.write_shard(name, _comparisons(ids), _labels(ids, made))
        sketches = torch.nan_to_num(made.sketches, 0.0, 0.0, 0.0)
        payload, scales = store.encode(sketches, dtype)
        rows = store.Rows(
            ids,
            made.margins.double().numpy(),
            made.sq_norms.double().numpy(),
            scales.numpy(),
            [_status(square) for square in made.sq_norms.sum(1).tolist()],
        )
        store.commit(run / "sketches" / pairs, name, payload, rows, shard.sha256)
        plan.append(shard)
    target.write_plan(plan)
    return plan


def _identity(pairs: str, shard: int, row: int) -> str:
    return hashlib.sha256(f"{pairs} {shard} {row}".encode()).hexdigest()


def _status(square: float) -> str:
    if not np.isfinite(square):
        return store.NOT_FINITE
    return store.OK if square > 0 else store.ZERO


def _comparisons(ids: list[str]) -> pa.Table:
    row = {"prefix": [1], "a": [2], "b": [3], "num_cut": 0, "prompt": "p"}
    row |= {"response_a": "a", "response_b": "b"}
    return pa.Table.from_pylist([{"comparison_id": i, **row} for i in ids], COMPARISONS)


def _labels(ids: list[str], made: Generated) -> pa.Table:
    rows = made.rows if made.rows is not None else range(len(ids))
    own = [
        {
            "pair_id": f"{ids[row]}-{i}",
            "comparison_id": ids[row],
            "row": row,
            "sign": sign,
            "file": "generated",
            "file_row": i,
            "length_difference": sign,
            "required_margin": 0.0,
        }
        for i, (row, sign) in enumerate(zip(rows, made.signs, strict=True))
    ]
    table = pa.Table.from_pylist(own, LABELS)
    for name, values in made.kept.items():
        table = table.append_column(name, pa.array(values))
    return table
