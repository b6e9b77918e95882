"""The labels that harm most to their neighbours, in files that a page loads when it
shows one of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.data.output_columns import RANK
from inflib.page.label_columns import NEAR_PER_CHUNK
from inflib.scores.executor import Executor
from inflib.scores.neighbours import FOLDED, Harm

MOST = 1_000
"""Labels whose neighbours are looked for."""

_NEAREST, _HARMED = 8, 5
"""Neighbours of a label, and query labels of each query set that it harms most."""


def most_harmful(run: AuditedRun) -> np.ndarray:
    """Rows of the labels with the best ranks over all query sets, by the reported
    curvature, in that order; without a score, or a gradient, a label has none."""
    names = [RANK.of(run.score(query)) for query in run.queries]
    ranks = np.stack(
        [
            run.labels[name].to_numpy(zero_copy_only=False).astype(float)
            for name in names
        ]
    )
    best = np.where(np.isnan(ranks), np.inf, ranks).min(0)
    best[~run.counted] = np.inf
    order = np.argsort(best, kind="stable")[:MOST]
    return order[np.isfinite(best[order])]


def accuracy_of_cosines() -> str:
    """How exact the cosines are, in words."""
    return (
        "cosines are estimated from sketches that are folded to about "
        f"{FOLDED:,} numbers: their standard error is (1 - cosine²) / "
        f"{FOLDED**0.5:.0f} or so, {1 / FOLDED**0.5:.3f} at most"
    )


def near_chunks(
    run: AuditedRun, rows: np.ndarray, executor: Executor | None
) -> Iterator[dict[str, Any]]:
    """Chunks of {row: {nearest, queries}} of the labels in these rows.

    nearest: [row, cosine]; queries: [number of the query set, number of the label in
    it, pair_id, minus the inner product of gradients, cosine].
    """
    ascending = np.sort(rows)
    nearest, harms = run.neighbours(ascending, _NEAREST, executor)
    ids = [
        [x for table in run.query_labels(query) for x in table["pair_id"].to_pylist()]
        for query in run.queries
    ]
    places = dict(zip(ascending.tolist(), range(len(ascending)), strict=True))
    for start in range(0, len(rows), NEAR_PER_CHUNK):
        chunk: dict[str, Any] = {}
        for row in rows[start : start + NEAR_PER_CHUNK].tolist():
            place = places[row]
            found = zip(
                nearest.labels[place].tolist(),
                nearest.cosines[place].tolist(),
                strict=True,
            )
            chunk[str(row)] = {
                "nearest": [[i, round(cos, 4)] for i, cos in found if i >= 0],
                "queries": [
                    line
                    for number, query in enumerate(run.queries)
                    for line in _harmed(number, ids[number], harms[query], place)
                ],
            }
        yield chunk


def _harmed(number: int, ids: list[str], harm: Harm, place: int) -> Iterator[list[Any]]:
    """The query labels of a query set that a label harms most, and only such."""
    products = harm.products[place]
    best, order = products.topk(min(_HARMED, len(products)))
    for value, label in zip(best.tolist(), order.tolist(), strict=True):
        if value > 0:
            cosine = round(float(harm.cosines[place, label]), 4)
            yield [number, label, ids[label], float(f"{value:.6g}"), cosine]
