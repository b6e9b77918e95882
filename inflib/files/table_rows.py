"""Parquet, Arrow and Feather files, `datasets` folders and hub data sets to rows, with
values that JSON has too."""

import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inflib.files.raw_rows import BadRow, RawRow, check_names, is_of_access
from inflib.storage.plain_text import first_line

HUB = "hub:"
_BATCH = 1024


def read_parquet(
    file: str, stream: Any, groups: range | None = None, first: int = 1
) -> Iterator[RawRow | BadRow]:
    """Rows of a Parquet file; a row group that cannot be read is one bad row.

    groups: the row groups to read; None: all. first: number of their first row.
    """
    try:
        parquet = pq.ParquetFile(stream)
    except Exception as error:
        if is_of_access(error):
            raise
        yield BadRow(file, 0, f"not a Parquet file: {first_line(error)}")
        return
    for group in groups if groups is not None else range(parquet.num_row_groups):
        number = first
        first += parquet.metadata.row_group(group).num_rows
        try:
            batches = parquet.iter_batches(_BATCH, row_groups=[group])
            for fields in _rows(batches):
                yield RawRow(file, number, fields)
                number += 1
        except Exception as error:
            if is_of_access(error):
                raise
            problem = (
                f"rows {number} to {first - 1} cannot be read: {first_line(error)}"
            )
            yield BadRow(file, number, problem)


def read_arrow(file: str, stream: Any) -> Iterator[RawRow | BadRow]:
    """Rows of an Arrow or Feather file, or of an Arrow stream."""
    number = 1
    try:
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        if is_file:
            reader = pa.ipc.open_file(stream)
            count = reader.num_record_batches
            batches = (reader.get_batch(i) for i in range(count))
        else:
            batches = iter(pa.ipc.open_stream(stream))
        for fields in _rows(batches):
            yield RawRow(file, number, fields)
            number += 1
    except Exception as error:
        if is_of_access(error):
            raise
        problem = (
            f"cannot be read: {first_line(error)}; nothing from this row on was read"
        )
        yield BadRow(file, number, problem)


def read_dataset(file: str, split: str) -> Iterator[RawRow]:
    """Rows of a `datasets` folder or a hub data set. Raises ValueError for a split that
    it has not."""
    for number, fields in enumerate(load(file, split), start=1):
        yield RawRow(file, number, {n: plain_value(v) for n, v in fields.items()})


def load(file: str, split: str) -> Any:
    """The `datasets.Dataset` at an address."""
    import datasets

    if file.startswith(HUB):
        names = file.removeprefix(HUB).split("/")
        name, inside = "/".join(names[:2]), "/".join(names[2:])
        return datasets.load_dataset(name, data_dir=inside or None, split=split)
    data = datasets.load_from_disk(file)
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise ValueError(f"{file}: no split {split!r}, only {sorted(data)}")
        data = data[split]
    return data


def plain_value(value: Any) -> Any:
    """A value as JSON could hold it: times as ISO text, decimals as text, bytes as the
    UTF-8 text that they are or in hex digits, maps as objects."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(i, tuple) and len(i) == 2 for i in value):
            return {str(name): plain_value(inner) for name, inner in value}
        return [plain_value(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return plain_value(value.tolist()) if hasattr(value, "tolist") else str(value)


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        check_names(batch.schema.names)
        batch.validate(full=True)  # damaged offsets would end the process
        for fields in batch.to_pylist():
            yield {n: plain_value(v) for n, v in fields.items() if n.strip()}
