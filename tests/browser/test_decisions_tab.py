"""Deciding: keys, buttons, on all that match; saving decisions.csv and loading it."""

import csv
import io

import pytest

from inflib.data.decisions import COLUMNS, Decision, decisions_csv, read_decisions
from inflib.data.label_edits import Edit
from tests.browser.test_labels_tab import column_filter, count, shown, wait_for_count
from tests.support.waiting import until


def decided(page):
    """How many decisions the tab's title says there are."""
    text = page.locator("#tab-count").inner_text().replace(",", "")
    return int(text or 0)


def saved(page, folder):
    """Path of the decisions.csv that the page saves."""
    page.goto(page.url.partition("#")[0] + "#decisions")
    with page.expect_download() as download:
        page.locator("#save-decisions").click()
    assert download.value.suggested_filename == "decisions.csv"
    path = folder / "decisions.csv"
    download.value.save_as(path)
    return path


def go(page, place):
    page.goto(page.url.partition("#")[0] + "#" + place)


def decide_with_keys(page):
    """Decides on the first six labels; returns their pair_ids."""
    ids = shown(page, "pair_id")[:6]
    page.locator("#grid .slick-cell").first.click()
    for key in ("e", "j", "f", "j", "d", "j", "t", "j", "d", "j", "f"):
        page.keyboard.press(key)
    page.keyboard.press("u")  # takes the last one back
    until(lambda: decided(page) == 5)
    return ids


def test_keys_decide_and_the_file_is_what_python_reads(labels, hostile, tmp_path):
    ids = decide_with_keys(labels)
    labels.keyboard.press("k")  # back to the fifth label
    labels.keyboard.press("n")
    labels.keyboard.type('=SUM(1), "odd"\u202e')
    labels.keyboard.press("Enter")
    labels.keyboard.press("k")
    labels.keyboard.press("w")
    labels.keyboard.type("0.25")
    labels.keyboard.press("Enter")
    until(lambda: decided(labels) == 5)
    go(labels, "decisions")
    labels.locator("#decided-by").fill("kim")
    path = saved(labels, tmp_path)
    decisions = read_decisions(str(path))
    assert set(decisions) == set(ids[:5])
    actions = {k: d.action for k, d in decisions.items()}
    expected = dict(zip(ids, ("keep", "flip", "drop", "weight", "drop"), strict=False))
    assert actions == expected
    assert decisions[ids[3]].edit == Edit("weight", 0.25)
    assert decisions[ids[4]].note == '=SUM(1), "odd"\u202e'
    header = next(csv.reader(io.StringIO(path.read_text())))
    assert tuple(header) == COLUMNS
    by_id = {row["pair_id"]: row for row in hostile.labels.to_pylist()}
    for pair_id, decision in decisions.items():
        assert decision.labeler == (by_id[pair_id]["labeler"] or "")
        assert decision.decided_at.startswith("20")
    assert hostile.decisions(str(path)) == decisions
    # cells that a spreadsheet would run are guarded, as Python guards them
    cells = [cell for row in csv.reader(io.StringIO(path.read_text())) for cell in row]
    assert '\'=SUM(1), "odd"\u202e' in cells


def test_decisions_stay_over_a_reload_and_load_into_another_profile(
    labels, window, hostile, tmp_path
):
    decide_with_keys(labels)
    path = saved(labels, tmp_path)
    labels.reload()
    until(lambda: decided(labels) == 5)
    other = window().open(hostile, "decisions")
    assert decided(other) == 0
    other.locator("#load-decisions").set_input_files(path)
    until(lambda: decided(other) == 5)
    go(other, "labels")
    column_filter(other, "decision").fill("-")
    wait_for_count(other, len(hostile.labels) - 5)
    go(other, "decisions")
    other.locator("#load-decisions").set_input_files(path)
    assert "replace" not in other.locator("#load-result").inner_text()
    again = saved(other, tmp_path)
    strip = lambda found: {k: (d.action, d.note) for k, d in found.items()}  # noqa: E731
    assert strip(read_decisions(str(again))) == strip(read_decisions(str(path)))


def test_a_file_of_python_is_shown_and_unknown_labels_are_counted(
    labels, hostile, tmp_path
):
    ids = hostile.labels["pair_id"].to_pylist()[:3]
    rows = [
        Decision(ids[0], "", "flip"),
        Decision(ids[1], "", "weight", 0.5, note="=1+1"),
        Decision(ids[0], "", "tie"),
        Decision("nobody", "", "drop"),
    ]
    path = tmp_path / "made.csv"
    path.write_text(decisions_csv(rows))
    go(labels, "decisions")
    labels.locator("#load-decisions").set_input_files(path)
    until(lambda: decided(labels) == 2)
    said = labels.locator("#load-result").inner_text()
    assert "1" in said and "not" in said, said
    table = labels.locator("#decision-list").inner_text()
    assert "tie" in table and "flip" not in table and "weight" in table
    result = read_decisions(str(saved(labels, tmp_path)))
    assert result[ids[1]].note == "=1+1" and result[ids[1]].value == 0.5


@pytest.mark.parametrize("text", ["pair_id\na\n", "\x00\x01", 'a,b\n"', ""])
def test_a_file_that_is_no_decisions_is_refused_with_a_reason(labels, tmp_path, text):
    path = tmp_path / "other.csv"
    path.write_text(text)
    go(labels, "decisions")
    labels.locator("#load-decisions").set_input_files(path)
    until(lambda: labels.locator("#load-result").inner_text().strip())
    assert decided(labels) == 0


def test_deciding_on_all_that_match_asks_and_says_how_many(labels, hostile, tmp_path):
    column_filter(labels, "margin").fill("<0")
    margins = hostile.labels["margin"].to_pylist()
    number = sum(1 for x in margins if x is not None and x < 0)
    wait_for_count(labels, number)
    labels.locator("#decide-all").click()
    dialog = labels.locator("#all-dialog")
    assert f"{number}" in dialog.inner_text() and "margin <0" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    assert decided(labels) == 0
    labels.locator("#decide-all").click()
    dialog.get_by_role("button", name="Drop all").click()
    until(lambda: decided(labels) == number)
    assert count(labels) == number
    decisions = read_decisions(str(saved(labels, tmp_path)))
    assert {d.action for d in decisions.values()} == {"drop"}
    assert {d.reason for d in decisions.values()} == {"margin <0"}
    go(labels, "labels")
    labels.keyboard.press("u")
    until(lambda: decided(labels) == 0)
