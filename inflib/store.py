"""Sketch shards: one payload and one commit record each.

    <shard>-<digest>.npy  [n, k] entries; the name holds 16 digits of their SHA-256
    <shard>.json          digest, and per comparison what `Rows` says

    n  comparisons in a shard     k  entries of a sketch

A shard is complete when its commit record and the payload it names exist: the payload
is written first, the record last and only if absent. Both are the same bytes however
often, wherever and by whomever they are computed, so a second writer is compared, not
trusted, and never touches a payload that is not its own. Nothing here is pickled.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from inflib.folder import Folder
from inflib.pairs_folder import Shard

OK, ZERO, NOT_FINITE = "ok", "zero_gradient", "not_finite"
"""Status of a comparison. ZERO scores 0; NOT_FINITE is excluded and not scored."""

_LARGEST = {"float16": 2.0**15, "int8": 127.0}
_RECORDS_AT_ONCE, _ROWS_AT_ONCE = 16, 64
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
    payload = np.empty(sketches.shape, dtype)
    scales = torch.empty(len(sketches))
    for start in range(0, len(sketches), _ROWS_AT_ONCE):  # no copy of the whole
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = sketches[rows]
        scale = part.abs().amax(dim=1) / _LARGEST[dtype]
        steps = part / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
        steps = steps.round().to(torch.int8) if dtype == "int8" else steps.half()
        payload[rows], scales[rows] = steps.cpu().numpy(), scale.cpu()
    return payload, scales


def decode(payload: np.ndarray, scale: np.ndarray) -> Float[Tensor, "n k"]:
    """Sketches in float32."""
    return torch.from_numpy(np.asarray(payload, dtype=np.float32)) * torch.from_numpy(
        scale
    ).reshape(-1, 1)


def commit(
    folder: Folder, shard: str, payload: np.ndarray, rows: Rows, pairs_digest: str
) -> int:
    """Write a shard: payload, then record. Returns the bytes of both.

    Raises ValueError, with what was committed untouched, when the shard is there
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
    folder.write(payload_name(shard, record), data)
    folder.create(f"{shard}.json", text)
    return len(data) + len(text)


def payload_name(shard: str, record: dict[str, Any]) -> str:
    """File of a shard's sketches, as its commit record names it."""
    return f"{shard}-{record['sha256'][:16]}.npy"


def completed(folder: Folder, plan: list[Shard]) -> set[str]:
    """Names of the planned shards whose record and payload exist.

    Raises ValueError for a record of another plan.
    """
    names = folder.names()
    planned = {shard.name: shard for shard in plan if f"{shard.name}.json" in names}
    complete = set()
    for name, record in read_records(folder, list(planned)):
        check_plan(folder, planned[name], record)
        if payload_name(name, record) in names:
            complete.add(name)
    return complete


def check_plan(folder: Folder, shard: Shard, record: dict[str, Any]) -> None:
    """Raise ValueError unless the record is of this very shard of pairs."""
    if record["pairs_sha256"] != shard.sha256:
        raise ValueError(
            f"{folder.url}/{shard.name}.json was sketched from another plan: its "
            f"pairs_sha256 is {record['pairs_sha256'][:16]}, pairs/ has "
            f"{shard.sha256[:16]}; choose another --run, or delete sketches/ and "
            "influence/"
        )


def leftovers(folder: Folder) -> list[str]:
    """Payloads that no record names: writers that stopped in between."""
    names = folder.names()
    shards = sorted(n.removesuffix(".json") for n in names if n.endswith(".json"))
    committed = {payload_name(*found) for found in read_records(folder, shards)}
    return sorted(n for n in names if n.endswith(".npy") and n not in committed)


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
    """A shard's sketches in float32, some rows at a time, after checking its digest."""
    payload, scale = read_payload(folder, shard)
    for start in range(0, len(payload), rows_at_once):
        part = slice(start, min(start + rows_at_once, len(payload)))
        yield part, decode(payload[part], scale[part])


def read_payload(folder: Folder, shard: str) -> tuple[np.ndarray, np.ndarray]:
    """(entries as stored [n, k], row scales [n]) of a shard.

    Raises ValueError when the payload is not the one that was committed.
    """
    record = read_record(folder, shard)
    name = payload_name(shard, record)
    data = folder.read_bytes(name)
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise ValueError(
            f"{folder.url}/{name} does not match its commit record: it was changed or "
            f"truncated; delete it and {shard}.json, and rerun to recompute them"
        )
    payload = np.load(io.BytesIO(data), allow_pickle=False)
    return payload, np.array(record["scale"], np.float32)


def write_index(folder: Folder, shards: list[str]) -> None:
    """Gather all records in index.parquet."""
    folder.write("index.parquet", build_index(folder, shards))


def build_index(folder: Folder, shards: list[str]) -> bytes:
    """All records as a Parquet file, one row group per shard."""
    types = {
        "margin": pa.float64(),
        "sq_norm": pa.float64(),
        "scale": pa.float32(),
    }
    schema = pa.schema(
        (name, types.get(name, pa.string())) for name in ("shard", *FIELDS)
    )
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for shard, record in read_records(folder, shards):
            columns = {name: record[name] for name in FIELDS}
            columns["shard"] = [shard] * len(record["margin"])
            writer.write_table(pa.table(columns, schema))
    return buffer.getvalue()


def read_records(
    folder: Folder, shards: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(shard, commit record) of many shards, in their order; few in memory."""
    for start in range(0, len(shards), _RECORDS_AT_ONCE):
        some = shards[start : start + _RECORDS_AT_ONCE]
        yield from zip(some, folder.read_jsons(f"{s}.json" for s in some), strict=True)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
