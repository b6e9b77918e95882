"""Shards of sketches to files and back: one payload and one commit record each.

    <shard>-<digest>.npy  [n, k] entries; the name holds 16 digits of their SHA-256
    <shard>.json          digests, and per comparison what `Rows` says

    n  comparisons in a shard     k  entries of a sketch     l  layers

A shard is complete when its commit record and the payload that it names exist: the
payload is written first, the record last and only if absent. Both are the same bytes
whenever, wherever and by whomever they are computed. So what a second writer computed
is compared with the record, and it never touches the payload that the record names.
Scoring reads every payload many times: each read checks its XXH3-128 digest, which
costs less than the reading (SHA-256, which costs more, is checked by `audit --check`).
Nothing here is pickled.
"""

import hashlib
import io
import json
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from inflib.data.pairs_folder import Shard
from inflib.storage import node_cache
from inflib.storage.folder import Folder

OK, ZERO, NOT_FINITE = "ok", "zero_gradient", "not_finite"
"""Status of a comparison. With a zero gradient its influence is 0; with a margin or
gradient that is not finite it is left out of all sums and has no scores."""

FORMAT = 2
"""Version of the layout of payloads and records; it stands in the manifest."""

_LARGEST = {"float32": 1.0, "float16": 2.0**15, "int8": 127.0}
"""Magnitude of a row's largest entry as stored; float32 entries stay as they are."""

_RECORDS_AT_ONCE, _ROWS_AT_ONCE = 16, 64
_HEADER = 1024  # bytes that hold the header of an .npy file of ours
FIELDS = ("comparison_id", "margin", "sq_norm", "scale", "status")
"""Columns of index.parquet, after the shard's name."""


Record = dict[str, Any]
"""A shard's commit record, as JSON."""


@dataclass(frozen=True)
class Digests:
    """Digests of a payload's file, in hexadecimal."""

    sha256: str
    xxh3: str

    @staticmethod
    def of(record: Record) -> "Digests":
        """Those in a commit record."""
        return Digests(record["sha256"], record["xxh3"])


@dataclass(frozen=True)
class Rows:
    """What is stored of a shard's comparisons beside their sketches, in their order."""

    comparison_id: list[str]
    margin: np.ndarray
    """[n] r(a) - r(b), float64; NaN where not finite."""

    sq_norms: np.ndarray
    """[n l] |s|^2 of the whole margin gradient (not of its sketch), by layer, float64;
    NaN where not finite."""

    scale: np.ndarray
    """[n] float32; sketch = payload * scale."""

    status: list[str]
    """OK, ZERO or NOT_FINITE."""


def encode(
    sketches: Float[Tensor, "n k"], dtype: str
) -> tuple[np.ndarray, Float[Tensor, " n"]]:
    """Payload [n k] in the dtype, and the scale of each row: sketch = payload * scale.

    A row's largest entry becomes the largest number of the dtype that is used: 127 of
    int8, 2^15 of float16. An all-zero row has scale 0; float32 has scale 1.
    """
    payload = np.empty(sketches.shape, dtype)
    scales = torch.empty(len(sketches))
    for start in range(0, len(sketches), _ROWS_AT_ONCE):  # no copy of the whole
        rows = slice(start, start + _ROWS_AT_ONCE)
        chunk = sketches[rows]
        scale = chunk.abs().amax(dim=1) / _LARGEST[dtype]
        if dtype == "float32":  # entries are exact as they are
            scale = torch.ones_like(scale)
        steps = chunk / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
        if dtype == "int8":
            steps = steps.round()
        payload[rows] = steps.to(getattr(torch, dtype)).cpu().numpy()
        scales[rows] = scale.cpu()
    return payload, scales


def decode(payload: np.ndarray, scale: np.ndarray) -> Float[Tensor, "n k"]:
    """Payload and row scales to sketches in float32."""
    return torch.from_numpy(np.asarray(payload, dtype=np.float32)) * torch.from_numpy(
        scale
    ).reshape(-1, 1)


def commit(
    folder: Folder, shard: str, payload: np.ndarray, rows: Rows, pairs_digest: str
) -> int:
    """Write a shard, its payload, then its record. Returns the bytes of both.

    pairs_digest: sha256 of the comparisons file. Raises ValueError, and leaves what was
    committed untouched, when the shard is there already and holds something else.
    """
    buffer = io.BytesIO()
    np.save(buffer, payload, allow_pickle=False)
    data = buffer.getvalue()
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "xxh3": xxhash.xxh3_128_hexdigest(data),
        "pairs_sha256": pairs_digest,
        "comparison_id": rows.comparison_id,
        "margin": [_number(margin) for margin in rows.margin],
        "sq_norms": [[_number(square) for square in row] for row in rows.sq_norms],
        "scale": [float(scale) for scale in rows.scale],
        "status": rows.status,
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    folder.write(payload_name(shard, Digests.of(record)), data)
    folder.create(f"{shard}.json", text)
    return len(data) + len(text)


def payload_name(shard: str, digests: Digests) -> str:
    """Name of the file of a shard's sketches."""
    return f"{shard}-{digests.sha256[:16]}.npy"


def completed(folder: Folder, plan: list[Shard]) -> set[str]:
    """Names of the planned shards whose record and payload exist.

    Raises ValueError for a record of other comparisons than the plan's.
    """
    names = folder.names()
    planned = {shard.name: shard for shard in plan if f"{shard.name}.json" in names}
    complete = set()
    for name, record in read_records(folder, list(planned)):
        check_plan(folder, planned[name], record)
        if payload_name(name, Digests.of(record)) in names:
            complete.add(name)
    return complete


def check_plan(folder: Folder, shard: Shard, record: Record) -> None:
    """Raise ValueError unless the record is of the comparisons that the plan names."""
    if record["pairs_sha256"] != shard.sha256:
        raise ValueError(
            f"{folder.url}/{shard.name}.json was sketched from another plan: its "
            f"pairs_sha256 is {record['pairs_sha256'][:16]}, pairs/ has "
            f"{shard.sha256[:16]}; choose another --run, or delete sketches/ and "
            "influence/"
        )


def leftovers(folder: Folder) -> list[str]:
    """Names of the payloads that no record names: their writers stopped in between."""
    names = folder.names()
    shards = sorted(
        name.removesuffix(".json") for name in names if name.endswith(".json")
    )
    records = read_records(folder, shards)
    committed = {payload_name(shard, Digests.of(record)) for shard, record in records}
    return sorted(
        name for name in names if name.endswith(".npy") and name not in committed
    )


def read_record(folder: Folder, shard: str) -> Record:
    """A shard's commit record, as written."""
    return folder.read_json(f"{shard}.json")


def read_rows(record: Record) -> Rows:
    """What a commit record says of its comparisons."""
    return Rows(
        record["comparison_id"],
        np.array(record["margin"], np.float64),  # None becomes NaN
        np.array(record["sq_norms"], np.float64),
        np.array(record["scale"], np.float32),
        record["status"],
    )


def read_payload(
    folder: Folder, shard: str, digests: Digests, thorough: bool = False
) -> np.ndarray:
    """Payload [n, k] of a shard, as stored.

    Raises ValueError when the payload is not the one that was committed. thorough:
    read the file itself, not this node's copy, and compare its SHA-256 as well.
    """
    name = payload_name(shard, digests)
    uses_copy = not (thorough or folder.is_local)
    copy = node_cache.find(name) if uses_copy else None
    if copy is not None and _matches(copy, digests):
        return _as_array(copy)
    data = folder.map_bytes(name)
    matches = _matches(data, digests)
    if thorough:
        matches &= hashlib.sha256(data).hexdigest() == digests.sha256
    if not matches:
        raise ValueError(
            f"{folder.url}/{name} does not match its commit record: it was changed or "
            f"truncated; delete it and {shard}.json, and rerun to recompute them"
        )
    if uses_copy:
        node_cache.keep(name, data)
    return _as_array(data)


def _matches(data: bytearray | mmap.mmap, digests: Digests) -> bool:
    return xxhash.xxh3_128_hexdigest(data) == digests.xxh3


def _as_array(data: bytearray | mmap.mmap) -> np.ndarray:
    """The array of an .npy file, without a copy."""
    header = io.BytesIO(data[:_HEADER])
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    return np.frombuffer(data, dtype, offset=header.tell()).reshape(shape)


def write_index(folder: Folder, shards: list[str]) -> None:
    """Write index.parquet: the records of all shards in one file."""
    folder.write("index.parquet", build_index(folder, shards))


def build_index(folder: Folder, shards: list[str]) -> bytes:
    """Contents of index.parquet: a row per comparison, a row group per shard.

    sq_norm is the sum over the layers. What is not finite is null.
    """
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
            rows = read_rows(record)
            columns = {name: record[name] for name in FIELDS if name in record}
            columns["sq_norm"] = pa.array(rows.sq_norms.sum(1), from_pandas=True)
            columns["shard"] = [shard] * len(rows.margin)
            writer.write_table(pa.table(columns, schema))
    return buffer.getvalue()


def record_digests(folder: Folder, plan: list[Shard]) -> list[bytes]:
    """SHA-256 of the commit record of every shard, as it lies there."""
    names = [f"{shard.name}.json" for shard in plan]
    with ThreadPoolExecutor(_RECORDS_AT_ONCE) as pool:
        return list(
            pool.map(lambda n: hashlib.sha256(folder.read_bytes(n)).digest(), names)
        )


def read_records(folder: Folder, shards: list[str]) -> Iterator[tuple[str, Record]]:
    """(shard, commit record) of every shard, in their order; reads a few at a time."""
    for start in range(0, len(shards), _RECORDS_AT_ONCE):
        chunk = shards[start : start + _RECORDS_AT_ONCE]
        records = folder.read_jsons(f"{shard}.json" for shard in chunk)
        yield from zip(chunk, records, strict=True)


def _number(value: float) -> float | None:
    """For JSON, which has no NaN and no infinity."""
    return float(value) if np.isfinite(value) else None
