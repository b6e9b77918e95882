"""Texts of comparisons and of query labels to files that a page loads when it shows
one, some hundred texts each; read shard by shard."""

from collections.abc import Iterable, Iterator
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.page.data_files import deflated
from inflib.page.label_columns import TEXTS_PER_CHUNK


def comparison_texts(run: AuditedRun) -> Iterator[str]:
    """Chunks of [prompt, response a, response b], deflated, in the order of the
    comparisons' numbers."""
    names = ["prompt", "response_a", "response_b"]
    tables = (table.select(names) for table in run.comparisons())
    return _chunks(row for table in tables for row in zip(*_lists(table), strict=True))


def query_texts(run: AuditedRun, query: str) -> Iterator[str]:
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


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    chunk: list[tuple[Any, ...]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == TEXTS_PER_CHUNK:
            yield deflated(chunk)
            chunk = []
    if chunk:
        yield deflated(chunk)
