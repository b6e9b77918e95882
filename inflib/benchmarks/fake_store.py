"""Given sketches to the folders that scoring reads, without a model behind them.

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
    """One shard's comparisons and labels."""

    sketches: Float[Tensor, "n k"]
    margins: Float[Tensor, " n"]
    sq_norms: Float[Tensor, "n l"]
    """|s|^2 by layer. Not finite: the comparison is to be left out of the scores."""

    signs: list[int]
    """One per label: 1 where it prefers response a, -1 where it prefers b."""

    rows: list[int] | None = None
    """Index of each label's comparison; None: each comparison has one label."""

    kept: dict[str, list[Any]] = field(default_factory=dict)
    """Kept columns: values for each label, by name."""

    targets: list[float] | None = None
    """Targets of the labels; None: all 1."""

    weights: list[float] | None = None
    """Weights of the labels; None: all 1."""

    required: list[float] | None = None
    """Required margins of the labels; None: all 0."""

    texts: list[tuple[str, str, str]] | None = None
    """Prompt and responses a and b of each comparison; None: a letter each."""

    lengths: list[int] | None = None
    """Length differences of the labels; None: one token more where a was chosen."""


def write_manifest(run: Folder, layers: list[Layer]) -> None:
    """Write as much of sketches/manifest.json as scoring reads."""
    manifest = {"format": store.FORMAT, "layers": to_json(layers)}
    (run / "sketches").write_json("manifest.json", manifest)


def write_set(
    run: Folder, pairs: str, shards: Iterable[Generated], dtype: str = "float32"
) -> list[Shard]:
    """Write pairs/<pairs>/ and sketches/<pairs>/, stored as dtype; returns the plan."""
    target, plan = PairsFolder(run / "pairs" / pairs), []
    for number, generated in enumerate(shards):
        name = f"{number:05}"
        ids = [_identity(pairs, number, i) for i in range(len(generated.margins))]
        shard = target.write_shard(
            name, _comparisons(ids, generated), _labels(ids, generated)
        )
        sketches = torch.nan_to_num(generated.sketches, 0.0, 0.0, 0.0)
        payload, scales = store.encode(sketches, dtype)
        rows = store.Rows(
            ids,
            generated.margins.double().numpy(),
            generated.sq_norms.double().numpy(),
            scales.numpy(),
            [_status(square) for square in generated.sq_norms.sum(1).tolist()],
        )
        store.commit(run / "sketches" / pairs, name, payload, rows, shard.sha256)
        plan.append(shard)
    target.write_plan(plan)
    return plan


def _identity(pairs: str, shard: int, row: int) -> str:
    """A comparison_id: unique, and the same in every run."""
    return hashlib.sha256(f"{pairs} {shard} {row}".encode()).hexdigest()


def _status(square: float) -> str:
    if not np.isfinite(square):
        return store.NOT_FINITE
    return store.OK if square > 0 else store.ZERO


def _comparisons(ids: list[str], generated: Generated) -> pa.Table:
    row = {"prefix": [1], "a": [2], "b": [3], "num_cut": 0}
    names = ("prompt", "response_a", "response_b")
    texts = generated.texts or [("p", "a", "b")] * len(ids)
    rows = [
        {"comparison_id": i, **row, **dict(zip(names, text, strict=True))}
        for i, text in zip(ids, texts, strict=True)
    ]
    return pa.Table.from_pylist(rows, COMPARISONS)


def _labels(ids: list[str], generated: Generated) -> pa.Table:
    rows = generated.rows if generated.rows is not None else range(len(ids))
    labels = [
        {
            "pair_id": f"{ids[row]}-{i}",
            "comparison_id": ids[row],
            "row": row,
            "sign": sign,
            "file": "generated",
            "file_row": i,
            "length_difference": generated.lengths[i] if generated.lengths else sign,
            "required_margin": generated.required[i] if generated.required else 0.0,
            "target": generated.targets[i] if generated.targets else 1.0,
            "weight": generated.weights[i] if generated.weights else 1.0,
        }
        for i, (row, sign) in enumerate(zip(rows, generated.signs, strict=True))
    ]
    table = pa.Table.from_pylist(labels, LABELS)
    for name, values in generated.kept.items():
        table = table.append_column(name, pa.array(values))
    return table
