"""Texts of comparisons and of query labels to files that a page loads when it shows
one, some hundred texts each; read shard by shard."""

from collections.abc import Iterable, Iterator
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.page.label_columns import TEXTS_PER_CHUNK

Chunk = list[tuple[Any, ...]]


def comparison_texts(run: AuditedRun) -> Iterator[Chunk]:
    """Chunks of [prompt, response a, response b], in the order of the
    comparisons' numbers."""
    names = ["prompt", "response_a", "response_b"]
    tables = (table.select(names) for table in run.comparisons())
    return _chunks(row for table in tables for row in zip(*_lists(table), strict=True))


def query_texts(run: AuditedRun, query: str) -> Iterator[Chunk]:
    """Chunks of [prompt, chosen, rejected, pair_id, margin] of a query set's labels."""
    names = ["prompt", "chosen", "rejected", "pair_id", "margin"]
    for_rows = (
        row
        for table in run.query_labels(query)
        for row in zip(*_lists(table.select(names)), strict=True)
    )
    return _chunks(
        (*texts, margin if margin == margin else None) for *texts, margin in for_rows
    )


def _lists(table: Any) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[Chunk]:
    chunk: Chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == TEXTS_PER_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
