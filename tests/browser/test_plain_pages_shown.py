"""Guidance and examples, pages of their own: hostile texts are shown and do nothing."""

from typing import Any

import pytest

from inflib.page.environment import render
from tests.support.scored_run import HOSTILE


def row(text):
    """What a template shows of a label whose every text is this one."""
    texts = dict.fromkeys(("prompt", "response_a", "response_b"), text)
    return {"heading": text, "text": texts, "sign": 1, "marked": True}


def written(folder, name):
    """The page's address."""
    rows: Any = [row(text) | {"differences": text} for text in HOSTILE]
    values: dict[str, Any] = {
        "examples.html.j2": {"lists": [{"title": HOSTILE[0], "rows": rows}]},
        "guidance.html.j2": {"labels": 2, "weights": [], "decisions": rows},
    }[name]
    path = folder / "page.html"
    path.write_bytes(render(name, title=HOSTILE[1], **values).encode("utf-8"))
    return path.as_uri()


@pytest.mark.parametrize("name", ["examples.html.j2", "guidance.html.j2"])
def test_hostile_texts_of_a_plain_page_do_nothing(window, tmp_path, name):
    page = window().page  # a dialog, an error or a request would fail the test
    page.goto(written(tmp_path, name))
    assert page.locator("script, img, iframe, object, base, form").count() == 0
    seen = page.locator("body").inner_text()
    assert HOSTILE[0] in seen and "{{ 7 * 7 }}" in seen
    assert not set("\u202e\u2066\u2028\x00\x07\x1b") & set(seen)
    page.set_viewport_size({"width": 400, "height": 800})
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    inner, outer = page.evaluate(widths)
    assert inner <= outer
