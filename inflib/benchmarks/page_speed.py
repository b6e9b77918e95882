"""How fast the report's page is in Chromium."""

import os
import shutil
import statistics
import time
from collections.abc import Callable
from typing import Any

_SHOWN = "() => document.querySelectorAll('#grid .slick-row').length > 0"
_COUNT = "() => document.querySelector('#match-count').textContent"
_SEARCHED = """() => document.querySelector('#filter-words').textContent
    .includes('text contains')"""
_FRAMES = """() => new Promise(
    done => requestAnimationFrame(() => requestAnimationFrame(done))
)"""
_PATIENCE = 300
"""Seconds until a page counts as unusable."""


def page_speed(address: str, repeats: int) -> dict[str, Any]:
    """Seconds, medians of `repeats`; {} where Chromium or Playwright is missing.

    address: of index.html. first_paint_seconds: from the call to the first text on the
    screen; grid_seconds: until labels are shown; sort_seconds: by a column of numbers;
    filter_seconds: by a number, from the last key on, which waits 0.15 s for more;
    search_seconds: for a word, through all texts.
    """
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if program is None:
        return {}
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    results: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        for _ in range(repeats):
            browser = playwright.chromium.launch(executable_path=program, args=root)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            results.append(_measure(page, address))
            browser.close()
    return {
        name: round(statistics.median(result[name] for result in results), 3)
        for name in results[0]
    }


def _measure(page: Any, address: str) -> dict[str, float]:
    started = time.perf_counter()
    page.goto(f"{address}#labels", wait_until="commit")
    _until(lambda: page.evaluate(_SHOWN))
    grid = time.perf_counter() - started
    paint = page.evaluate(
        "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    header = page.locator(".slick-header-column[data-id=margin]")
    box = page.get_by_role("searchbox", name="filter by margin", exact=True)
    search = page.locator("#search")
    state = page.locator("#search-stop")
    return {
        "first_paint_seconds": paint / 1000,
        "grid_seconds": grid,
        "sort_seconds": _timed(page, header.click, lambda: True),
        "filter_seconds": _changes(page, lambda: box.fill(">1")),
        "search_seconds": _timed(
            page,
            lambda: (box.fill(""), search.fill("zz")),
            # It waits for more keys before it starts.
            lambda: page.evaluate(_SEARCHED) and not state.is_visible(),
        ),
    }


def _changes(page: Any, act: Callable[[], object]) -> float:
    """Seconds until the count of labels changes."""
    before = page.evaluate(_COUNT)
    return _timed(page, act, lambda: page.evaluate(_COUNT) != before)


def _timed(
    page: Any, act: Callable[[], object], is_done: Callable[[], object]
) -> float:
    """Seconds until something is done and drawn."""
    started = time.perf_counter()
    act()
    _until(is_done)
    page.evaluate(_FRAMES)
    return time.perf_counter() - started


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the page shows nothing")
        time.sleep(0.005)
