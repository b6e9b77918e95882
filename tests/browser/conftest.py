"""Chromium, and pages that were written of real runs.

A test fails where its page writes an error to the console, breaks its own content
policy, or asks for anything that is not beside it.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inflib.page.write_page import write_page
from tests.support.scored_run import write_scored
from tests.support.waiting import until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
    program = shutil.which("chromium")
    assert program, "no chromium here: run `make test-browser`"
    with sync_api.sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=root)
        yield browser
        browser.close()


class Window:
    """A page in a profile of its own, and all that went wrong in it."""

    def __init__(self, browser: Any, **options: Any) -> None:
        settings = {"viewport": {"width": 1440, "height": 900}} | options
        self.context = browser.new_context(accept_downloads=True, **settings)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.page.on("request", self._requested)
        self.page.on("requestfailed", self._lost)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _lost(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left meanwhile
            self.problems.append(f"lost {request.url}: {request.failure}")

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(("file://", "blob:", "data:")):
            self.problems.append(f"asked for {request.url}")

    def open(self, run: Any, place: str = "overview") -> Any:
        """The page of a run, at a place in it, once its labels are loaded."""
        url = Path(run.folder.url).resolve() / "report" / "index.html"
        self.page.goto(f"{url.as_uri()}#{place}")
        ready = "performance.getEntriesByName('labels-ready').length > 0"
        until(lambda: self.page.evaluate(ready))
        return self.page


@pytest.fixture
def window(chromium: Any) -> Iterator[Any]:
    """Makes windows; at the end, none may have had a problem."""
    opened: list[Window] = []

    def make(**options: Any) -> Window:
        opened.append(Window(chromium, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.context.close()
    assert [problem for each in opened for problem in each.problems] == []


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A scored run of 300 comparisons with hostile texts; its page is written."""
    run = write_scored(tmp_path_factory.mktemp("hostile") / "run")
    write_page(run)
    return run


@pytest.fixture
def labels(window: Any, hostile: Any) -> Any:
    """The Labels tab of the hostile run."""
    return window().open(hostile, "labels")
