"""A page of 10^5 labels stays usable; only the rows on the screen are elements."""

import numpy as np
import pytest

from inflib.audited_run import AuditedRun
from inflib.benchmarks.report_run import write_report_run
from inflib.page.write_page import write_page
from inflib.report.summary import summarize
from tests.browser.test_labels_tab import column_filter, count, wait_for_count
from tests.support.waiting import until

LABELS = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A scored run of so many made-up labels, whose page is written."""
    folder = tmp_path_factory.mktemp("large") / "run"
    recipe = write_report_run(str(folder), LABELS, 64)
    run = AuditedRun(recipe, summarize(recipe))
    write_page(run)
    return run


def test_a_hundred_thousand_labels_sort_filter_scroll_and_are_decided(window, large):
    page = window().open(large, "labels")
    assert count(page) == LABELS
    assert page.locator("#grid .slick-row").count() < 200
    margins = large.labels["margin"].to_numpy().astype(np.float32)
    column_filter(page, "margin").fill("> 3")
    wait_for_count(page, int((margins > 3).sum()))
    column_filter(page, "margin").fill("")
    wait_for_count(page, LABELS)
    page.locator("#grid .slick-viewport-top.slick-viewport-left").evaluate(
        "view => { view.scrollTop = view.scrollHeight }"
    )
    tops = "() => Math.max(...[...document.querySelectorAll('#grid .slick-row')]"
    last = f"{tops}.map(row => row.getBoundingClientRect().bottom))"
    floor = page.locator("#grid").bounding_box()
    until(lambda: page.evaluate(last) <= floor["y"] + floor["height"] + 30)
    page.locator("#decide-all").click()
    assert page.locator("#all-count").inner_text() == f"{LABELS:,}"
    page.locator("#all-dialog button[value=drop]").click()
    until(lambda: page.locator("#tab-count").inner_text() == f"{LABELS:,}")
    page.keyboard.press("u")
    until(lambda: page.locator("#tab-count").inner_text() == "")
