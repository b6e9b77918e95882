"""An audited run to report/index.html, which opens from disk, and the files beside it.

report/index.html     the page: overview, labelers, query sets, studies
report/assets/        our scripts and styles, and those of others
report/data/          facts.js, columns.js, scores-<i>.js, texts-<c>.js, near-<c>.js,
                      queries-<q>-<c>.js: see page.data_files
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Any

import numpy as np

from inflib.audited_run import AuditedRun
from inflib.page.data_files import data_file, deflated, plain
from inflib.page.environment import render
from inflib.page.group_rows import group_rows, labelers_tab
from inflib.page.label_columns import columns_of, further_scores
from inflib.page.label_flags import label_flags
from inflib.page.near_chunks import accuracy_of_cosines, most_harmful, near_chunks
from inflib.page.overview import overview
from inflib.page.query_sets_tab import query_sets_tab
from inflib.page.studies_tab import studies_tab
from inflib.page.text_chunks import comparison_texts, query_texts
from inflib.scores.executor import Executor
from inflib.storage.plain_text import printable

_FORMAT = 1
"""Of facts.js, for scripts that read it."""

_AT_ONCE = 8
"""Files that are written at the same time."""


_File = tuple[str, Callable[[], bytes]]
"""Path of a file below report/, and what makes its contents."""


def write_page(run: AuditedRun, executor: Executor | None = None) -> str:
    """Write the page into report/; returns the address of index.html.

    executor: of the pass over the sketches that finds neighbours.
    """
    report = run.folder / "report"
    facts, tabs = _facts(run)
    written = set[str]()

    def write(file: _File) -> None:
        name, contents = file
        report.write(name, contents())
        written.add(name)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for some in _batches(_data(run, facts, executor)):
            list(pool.map(write, some))
        list(pool.map(write, _assets()))
    stale = [
        f"{folder}/{name}"
        for folder in ("data", "assets")
        for name in (report / folder).names()
    ]
    report.delete(*(name for name in stale if name not in written))
    html = page_html(facts, tabs)
    report.write("index.html", html.encode("utf-8", "replace"))
    return f"{report.url}/index.html"


@cache
def page_digest() -> str:
    """Digest of templates, scripts and styles: a page that others made is written
    anew."""
    total = hashlib.sha256()
    for folder in ("templates", "static", "vendor"):
        for file in _files_in(_folder() / folder):
            total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:16]


def page_html(facts: dict[str, Any], tabs: dict[str, Any]) -> str:
    """index.html; its styles and scripts in the order of static/order.json."""
    order = _folder() / "static" / "order.json"
    assets = json.loads(order.read_bytes()) if order.is_file() else {}
    return render(
        "index.html.j2",
        facts=facts,
        title=facts["title"],
        styles=assets.get("styles", []),
        scripts=assets.get("scripts", []),
        **tabs,
    )


def _facts(run: AuditedRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """(facts.js, what the templates show beside it)."""
    groups = group_rows(run)
    query_sets, charts = query_sets_tab(run)
    studies, charts_of_studies = studies_tab(run)
    near = most_harmful(run)
    facts = {
        "format": _FORMAT,
        "run": printable(run.recipe.run),
        "digest": run.digest,
        "title": f"Audit of preference labels: {printable(run.folder.name)}",
        "reported": run.recipe.score.reported,
        "queries": [
            {"name": k, "errors_in_95": run.errors_in_95(k), **verdict}
            for k, verdict in run.verdicts.items()
        ],
        "group_columns": [*groups],
        "groups": groups,
        "fdr": run.recipe.report.fdr,
        "labels": len(run.labels),
        "near": {str(row): place for place, row in enumerate(near.tolist())},
        "near_accuracy": accuracy_of_cosines(),
        "charts": charts | charts_of_studies,
    }
    tabs = {
        "overview": overview(run),
        "labelers": labelers_tab(run, groups),
        "query_sets": query_sets,
        "studies": studies,
    }
    return plain(facts), plain(tabs)


def _data(
    run: AuditedRun, facts: dict[str, Any], executor: Executor | None
) -> Iterator[_File]:
    """The files in data/; those of facts get what the others say of themselves."""
    columns, left_out = columns_of(run, label_flags(run))
    yield "data/columns.js", partial(data_file, "columns", 0, columns)
    scores = []
    for i, (kind, query, more) in enumerate(further_scores(run)):
        scores.append({"index": i, "curvature": kind, "query": query})
        yield f"data/scores-{i}.js", partial(data_file, "scores", i, more)
    facts |= plain({"scores": scores, "left_out": left_out})
    yield "data/facts.js", partial(data_file, "facts", 0, facts)
    rows = np.array([int(row) for row in facts["near"]], dtype=np.int64)
    chunked: dict[str, Iterator[Any]] = {"texts": comparison_texts(run)}
    if len(rows):
        chunked["near"] = near_chunks(run, rows, executor)
    for q, query in enumerate(run.queries):
        chunked[f"queries-{q}"] = query_texts(run, query)
    for kind, chunks in chunked.items():
        for c, chunk in enumerate(chunks):
            yield f"data/{kind}-{c}.js", partial(_chunk_file, kind, c, chunk)


def _chunk_file(kind: str, number: int, chunk: Any) -> bytes:
    return data_file(kind, number, deflated(chunk))


def _batches(files: Iterator[_File]) -> Iterator[list[_File]]:
    while some := list(islice(files, _AT_ONCE)):
        yield some


def _assets() -> Iterator[_File]:
    """Our scripts and styles, and those of others, below report/."""
    for folder in ("vendor", "static"):
        for file in _files_in(_folder() / folder):
            yield f"assets/{file.name}", file.read_bytes


def _files_in(folder: Traversable) -> Iterator[Traversable]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files_in(entry)
        elif entry.name != "order.json":
            yield entry


def _folder() -> Traversable:
    return files("inflib.page")
