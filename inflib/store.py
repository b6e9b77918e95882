"""Sketch shards: one .npy payload and one commit record each.

    n  comparisons in a shard     k  entries of a sketch

A shard is complete when its commit record exists: the payload is written first, the
record last and only if absent. Both are the same bytes however often, wherever and by
whomever they are computed, so a second writer is compared, not trusted. Nothing here is
pickled.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.folder import Folder

OK, ZERO, NOT_FINITE = "ok", "zero_gradient", "not_finite"
"""Status of a comparison. ZERO scores 0; NOT_FINITE is excluded and not scored."""

_LARGEST = {"float16": 2.0**15, "int8": 127.0}
FIELDS = ("comparison_id", "margin", "sq_norm", "scale", "status")


@dataclass(frozen=True)
class Rows:
    """What a shard says of its comparisons, beside their sketches; arrays of n."""

    comparison_id: list[str]
    margin: np.ndarray
    """r(a) - r(b), float64; NaN where not finite."""

    sq_norm: np.ndarray
    """|s|^2 of the whole margin gradient (not of its sketch), float64."""

    scale: np.ndarray
    """float32; sketch = payload * scale."""

    status: list[str]


def encode(
    sketches: Float[Tensor, "n k"], dtype: str
) -> tuple[np.ndarray, Float[Tensor, " n"]]:
    """Payload and row scales. A row's largest entry takes the dtype's largest step;
    an all-zero row has scale 0."""
    scale = sketches.abs().amax(dim=1) / _LARGEST[dtype]
    steps = sketches / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
    if dtype == "int8":
        return steps.round().to(torch.int8).cpu().numpy(), scale.cpu()
    return steps.to(torch.float16).cpu().numpy(), scale.cpu()


def decode(payload: np.ndarray, scale: np.ndarray) -> Float[Tensor, "n k"]:
    """Sketches in float32."""
    return torch.from_numpy(np.asarray(payload, dtype=np.float32)) * torch.from_numpy(
        scale
    ).reshape(-1, 1)


def commit(
    folder: Folder, shard: str, payload: np.ndarray, rows: Rows, pairs_digest: str
) -> None:
    """Write a shard: payload, then record.

    Raises ValueError, with the committed payload untouched, when the shard is there
    already and holds something else.
    """
    buffer = io.BytesIO()
    np.save(buffer, payload, allow_pickle=False)
    data = buffer.getvalue()
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "pairs_sha256": pairs_digest,
        "comparison_id": rows.comparison_id,
        "margin": [_number(m) for m in rows.margin],
        "sq_norm": [_number(s) for s in rows.sq_norm],
        "scale": [float(s) for s in rows.scale],
        "status": rows.status,
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    if folder.exists(f"{shard}.json"):
        folder.create(f"{shard}.json", text)  # compares
    folder.write(f"{shard}.npy", data)
    folder.create(f"{shard}.json", text)


def completed(folder: Folder) -> set[str]:
    """Names of the shards whose payload and record both exist."""
    names = folder.names()
    return {
        name.removesuffix(".json")
        for name in names
        if name.endswith(".json") and name.replace(".json", ".npy") in names
    }


def read_record(folder: Folder, shard: str) -> dict[str, Any]:
    """A shard's commit record, as written."""
    return json.loads(folder.read_bytes(f"{shard}.json"))


def read_rows(record: dict[str, Any]) -> Rows:
    """The rows of a commit record, or of the index."""
    return Rows(
        record["comparison_id"],
        np.array([np.nan if m is None else m for m in record["margin"]], np.float64),
        np.array([np.nan if s is None else s for s in record["sq_norm"]], np.float64),
        np.array(record["scale"], np.float32),
        record["status"],
    )


def read_sketches(
    folder: Folder, shard: str, rows_at_once: int = 256
) -> Iterator[tuple[slice, Float[Tensor, "n k"]]]:
    """A shard's sketches in float32, some rows at a time, after checking its digest.

    Raises ValueError when the payload is not the one that was committed.
    """
    record = read_record(folder, shard)
    data = folder.read_bytes(f"{shard}.npy")
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise ValueError(
            f"{folder.url}/{shard}.npy does not match its commit record: it was "
            "changed or truncated; delete both files and rerun to recompute it"
        )
    payload = np.load(io.BytesIO(data), allow_pickle=False)
    scale = np.array(record["scale"], np.float32)
    for start in range(0, len(payload), rows_at_once):
        part = slice(start, min(start + rows_at_once, len(payload)))
        yield part, decode(payload[part], scale[part])


def write_index(folder: Folder, shards: list[str]) -> None:
    """Gather all records in index.parquet."""
    columns: dict[str, list[Any]] = {name: [] for name in ("shard", *FIELDS)}
    for shard in shards:
        record = read_record(folder, shard)
        columns["shard"] += [shard] * len(record["margin"])
        for name in FIELDS:
            columns[name] += record[name]
    types = {"margin": pa.float64(), "sq_norm": pa.float64(), "scale": pa.float32()}
    table = pa.table({n: pa.array(v, types.get(n)) for n, v in columns.items()})
    folder.write_table("index.parquet", table)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
