"""The whole page: hostile texts, all tabs, accessibility, narrow screens, print."""

import json
import shutil
from importlib.resources import files

import pytest

from tests.support.scored_run import HOSTILE

AXE = "axe.run(document, {resultTypes: ['violations'], preload: false})"
"""Without preloading: it would fetch styles, which the page's policy forbids."""

TABS = ("overview", "labels", "labelers", "query-sets", "studies", "decisions")


def place(page, name):
    page.goto(page.url.partition("#")[0] + "#" + name)
    page.wait_for_timeout(150)


def test_every_tab_opens_and_only_one_is_shown(window, hostile):
    page = window().open(hostile)
    for tab in TABS:
        place(page, tab)
        visible = [x for x in page.locator("main > section").all() if x.is_visible()]
        assert [x.get_attribute("id") for x in visible] == [tab]
        assert visible[0].inner_text().strip()


def test_hostile_texts_are_shown_and_do_nothing(window, hostile):
    page = window().open(hostile, "labels")
    page.evaluate("() => { window.alert = () => { window.hacked = true } }")
    for row in range(0, 40, 3):
        place(page, f"label/{row}")
    page.wait_for_timeout(300)
    place(page, "group/labeler/0")
    for tab in TABS:
        place(page, tab)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, object, embed, base, form").count() == 0
    place(page, "label/1")
    page.locator("#detail ins, #detail del").first.wait_for()
    seen = page.locator("#detail").inner_text()
    assert any(text[:25] in seen for text in HOSTILE[:3])
    everything = page.locator("body").inner_text()
    assert "{{ 7 * 7 }}" in page.content() or "{{ 7 * 7 }}" in everything
    assert not set("\u202e\u2066\x00\x07\x1b") & set(everything)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(window, hostile, scheme):
    page = window(color_scheme=scheme).open(hostile, "labels")
    # The policy forbids scripts that are no files; a debugger's are run all the same.
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = []
    for tab in (*TABS, "label/1", "group/labeler/0"):
        place(page, tab)
        result = page.evaluate(AXE)
        for violation in result["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:200] for node in violation["nodes"][:3]]
                found.append((tab, violation["id"], json.dumps(nodes)))
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("tab", TABS)
def test_narrow_screens_do_not_scroll_sideways(window, hostile, tab):
    page = window(viewport={"width": 400, "height": 800}).open(hostile, tab)
    page.wait_for_timeout(200)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 400, wide


def test_the_keyboard_alone_opens_filters_and_decides(window, hostile):
    page = window().open(hostile, "")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert page.url.endswith("#labels")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("f")
    page.wait_for_timeout(100)
    assert page.locator("#tab-count").inner_text() == "1"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_it_prints_without_controls(window, hostile):
    page = window().open(hostile, "overview")
    page.emulate_media(media="print")
    assert not page.locator("#show-help").is_visible()
    assert page.locator("#overview").is_visible()
    assert len(page.pdf()) > 10_000


def test_without_its_data_the_page_says_what_is_missing(window, hostile, tmp_path):
    report = tmp_path / "report"
    shutil.copytree(hostile.folder.url + "/report", report)
    (report / "data" / "columns.js").unlink()
    made = window()
    made.page.goto((report / "index.html").as_uri() + "#labels")
    problem = made.page.locator("#problem")
    problem.wait_for()
    assert "columns.js" in problem.inner_text()
    made.problems.clear()  # Chromium itself complains of the missing file
