"""An audited run to report/index.html, which opens from disk, and the files beside it.

report/index.html     the page: overview, labelers, query sets, studies
report/assets/        our scripts and styles, and those of others
report/data/          facts.js, columns.js, scores-<i>.js, texts-<c>.js, near-<c>.js,
                      queries-<q>-<c>.js: see page.data_files
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Any

from inflib.audited_run import AuditedRun
from inflib.page.data_files import data_file, plain
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

PAGE_FORMAT = 1
"""Raised when a page of the same run says or looks otherwise, so that those of an
earlier version are written anew."""

_AT_ONCE = 8
"""Files that are written at the same time."""


def write_page(run: AuditedRun, executor: Executor | None = None) -> str:
    """Write the page into report/; returns the address of index.html.

    executor: of the pass over the sketches that finds neighbours.
    """
    report = run.folder / "report"
    facts, tabs = _facts(run)
    written = set[str]()

    def write(name_and_data: tuple[str, bytes]) -> None:
        name, data = name_and_data
        report.write(name, data)
        written.add(name)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for some in _batches(_data(run, facts, executor)):
            list(pool.map(write, some))
        assets = [*_assets()]
        list(pool.map(write, assets))
    stale = [
        f"{folder}/{name}"
        for folder in ("data", "assets")
        for name in (report / folder).names()
    ]
    report.delete(*(name for name in stale if name not in written))
    html = page_html(facts, tabs, [name for name, _ in assets])
    report.write("index.html", html.encode("utf-8", "replace"))
    return f"{report.url}/index.html"


def page_html(facts: dict[str, Any], tabs: dict[str, Any], assets: list[str]) -> str:
    """index.html. assets: paths below report/, of others' styles and scripts first."""
    return render(
        "index.html.j2",
        facts=facts,
        title=facts["title"],
        styles=[name for name in assets if name.endswith(".css")],
        scripts=[name for name in assets if name.endswith(".js")],
        **tabs,
    )


def _facts(run: AuditedRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """(facts.js, what the templates show beside it)."""
    groups = group_rows(run)
    query_sets, charts = query_sets_tab(run)
    studies, charts_of_studies = studies_tab(run)
    near = most_harmful(run)
    facts = {
        "format": PAGE_FORMAT,
        "run": run.recipe.run,
        "digest": run.digest,
        "title": f"Audit of preference labels: {run.folder.name}",
        "reported": run.recipe.score.reported,
        "queries": [{"name": k, **verdict} for k, verdict in run.verdicts.items()],
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
) -> Iterator[tuple[str, bytes]]:
    """(name, contents) of the files in data/."""
    columns, left_out = columns_of(run, label_flags(run))
    yield "data/columns.js", data_file("columns", 0, columns)
    scores = []
    for i, (kind, query, more) in enumerate(further_scores(run)):
        scores.append({"index": i, "curvature": kind, "query": query})
        yield f"data/scores-{i}.js", data_file("scores", i, more)
    facts |= plain({"scores": scores, "left_out": left_out})
    yield "data/facts.js", data_file("facts", 0, facts)
    if facts["near"]:
        for c, chunk in enumerate(near_chunks(run, most_harmful(run), executor)):
            yield f"data/near-{c}.js", data_file("near", c, chunk)
    for c, chunk in enumerate(comparison_texts(run)):
        yield f"data/texts-{c}.js", data_file("texts", c, chunk)
    for q, query in enumerate(run.queries):
        for c, chunk in enumerate(query_texts(run, query)):
            kind = f"queries-{q}"
            yield f"data/{kind}-{c}.js", data_file(kind, c, chunk)


def _batches(
    named: Iterator[tuple[str, bytes]],
) -> Iterator[list[tuple[str, bytes]]]:
    while some := list(islice(named, _AT_ONCE)):
        yield some


def _assets() -> Iterator[tuple[str, bytes]]:
    """(path below report/, contents) of our scripts and styles, and of others'."""
    for folder in ("vendor", "static"):
        for file in _files_in(_folder() / folder):
            yield f"assets/{file.name}", file.read_bytes()


def _files_in(folder: Traversable) -> Iterator[Traversable]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files_in(entry)
        elif not entry.name.endswith(".py"):
            yield entry


def _folder() -> Traversable:
    return files("inflib.page")
