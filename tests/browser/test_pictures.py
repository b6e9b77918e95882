"""The pictures in docs/report.md.

    INFLIB_PICTURES=docs/img make test-browser

writes them there, of the run in runs/demo after `make demo` and the commands that it
prints last; without such a run they are of the hostile one, and only tested.
"""

import os
from pathlib import Path

import pytest

from inflib.audited_run import open_run
from tests.support.files import ROOT

LARGEST = 300_000
PICTURES = ("overview", "labels", "proof")


@pytest.fixture
def pictured(hostile):
    """The demo's run, if it is there and its page is written."""
    demo = ROOT / "runs" / "demo"
    there = (demo / "report" / "index.html").exists()
    return open_run(str(demo)) if there else hostile


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_for_the_docs(window, pictured, name, tmp_path):
    place = {"proof": "studies"}.get(name, name)
    size = {"width": 1280, "height": 800}
    page = window(viewport=size).open(pictured, place)
    if name == "labels":
        for key in ("j", "j", "j", "f", "j"):
            page.keyboard.press(key)
        page.locator("#detail ins, #detail del").first.wait_for()
    page.wait_for_timeout(500)
    folder = Path(os.environ.get("INFLIB_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"report_{name}.png"
    page.screenshot(path=path)
    assert 10_000 < path.stat().st_size < LARGEST
