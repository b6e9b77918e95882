"""What every pass needs of a shard beside its sketches, as one small file on the node.

A pass needs the labels file (which also holds ids and kept columns) and the commit
record (JSON) of every shard; conjugate gradients make some hundred passes. So the few
numbers in them are kept on the node's disk in one file, at most 1 kB a label. Its name
holds the digest of all labels and sketches of the run, so it is never that of others,
and its contents start with their own digest, so a damaged copy is not used.

c  comparisons of a shard     n  labels     l  layers
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import xxhash
from safetensors import SafetensorError
from safetensors.numpy import load, save

from inflib.data.pairs_folder import PairsFolder, Shard
from inflib.sketches import store
from inflib.storage import node_cache
from inflib.storage.folder import Folder

STATUSES = np.array([store.OK, store.ZERO, store.NOT_FINITE])
_LABELS = ["sign", "row", "required_margin", "target", "weight"]
_DIGEST = 16


@dataclass(frozen=True)
class ShardFacts:
    """Labels without edits, and the rows of the commit record but for the ids."""

    sign: np.ndarray
    row: np.ndarray
    required_margin: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    """[n] columns of data.pairs_folder.LABELS."""

    margin: np.ndarray
    """[c] r(a) - r(b); NaN where not finite."""

    sq_norms: np.ndarray
    """[c l] |s|^2 by layer; NaN where not finite."""

    scale: np.ndarray
    """[c] float32; sketch = payload * scale."""

    status: np.ndarray
    """[c] index in STATUSES."""

    payload: np.ndarray
    """Digests of the payload, as bytes of UTF-8: see digests."""

    @property
    def digests(self) -> store.Digests:
        """The digests by which the payload is found and checked."""
        return store.Digests(*self.payload.tobytes().decode().split())


def read_facts(
    pairs: PairsFolder, sketches: Folder, shard: Shard, version: str | None
) -> ShardFacts:
    """Facts of a shard; with a version, from the node's copy, which is made if it is
    not there.

    version: digest of all labels and sketches of the run. Raises ValueError when the
    sketches are of another plan.
    """
    name = f"facts-{version}-{pairs.folder.name}-{shard.name}"
    copy = node_cache.find(name) if version else None
    facts = None if copy is None else _decoded(bytes(copy))
    if facts is None:
        record = store.read_record(sketches, shard.name)
        store.check_plan(sketches, shard, record)
        facts = _gathered(pairs.labels(shard, _LABELS), record)
        if version:
            node_cache.keep(name, _encoded(facts))
    return facts


def _gathered(labels: pa.Table, record: store.Record) -> ShardFacts:
    rows = store.read_rows(record)
    digests = " ".join(vars(store.Digests.of(record)).values()).encode()
    statuses = STATUSES.tolist()
    return ShardFacts(
        **{name: labels[name].to_numpy() for name in _LABELS},
        margin=rows.margin,
        sq_norms=rows.sq_norms,
        scale=rows.scale,
        status=np.array([statuses.index(s) for s in rows.status], np.uint8),
        payload=np.frombuffer(digests, np.uint8),
    )


def _encoded(facts: ShardFacts) -> bytes:
    arrays = {name: np.ascontiguousarray(a) for name, a in asdict(facts).items()}
    data = save(arrays)
    return xxhash.xxh3_128_digest(data) + data


def _decoded(data: bytes) -> ShardFacts | None:
    """The facts; None from damaged bytes, and from those of another layout."""
    if xxhash.xxh3_128_digest(data[_DIGEST:]) != data[:_DIGEST]:
        return None
    try:
        return ShardFacts(**load(data[_DIGEST:]))
    except (SafetensorError, TypeError):
        return None
