"""Scored shards to influence.parquet: one row per label, with ranks, in plan order."""

import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inflib.folder import Folder
from inflib.metrics import ranks


def assemble(influence: Folder, parts: list[str], names: list[str]) -> tuple[int, str]:
    """Write influence.parquet from partials/<parts>, a row group each, in their order.

    Adds rank_<name> after the columns of each name: 1 for the most harmful label, null
    where there is no score. Returns the number of labels and the file's SHA-256.
    """
    partials = influence / "partials"
    columns = [f"influence_{name}" for name in names]
    scores = [
        [c.to_numpy(zero_copy_only=False) for c in partials.read_table(part, columns)]
        for part in parts
    ]
    places = [
        ranks(np.concatenate([shard[i] for shard in scores])) for i in range(len(names))
    ]
    buffer, start, writer = io.BytesIO(), 0, None
    for part in parts:
        table = partials.read_table(part)
        rows = slice(start, start + len(table))
        for name, place in zip(names, places, strict=True):
            rank = pa.array(place[rows], mask=place[rows] == 0)
            table = table.append_column(f"rank_{name}", rank)
        if writer is None:
            writer = pq.ParquetWriter(buffer, table.schema, compression="zstd")
        writer.write_table(table)
        start += len(table)
    assert writer is not None
    writer.close()
    data = buffer.getvalue()
    influence.write("influence.parquet", data)
    return start, hashlib.sha256(data).hexdigest()
