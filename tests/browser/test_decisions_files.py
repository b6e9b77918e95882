"""Files of decisions that are not as the page saves them, and decisions that are saved
late."""

import pytest

from tests.browser.test_decisions_tab import decided, go
from tests.browser.test_labels_tab import count, shown
from tests.support.waiting import until


def load(page, path):
    """What the page says of a file of decisions that is loaded."""
    go(page, "decisions")
    page.locator("#load-decisions").set_input_files(path)
    result = page.locator("#load-result")
    until(lambda: result.inner_text().strip())
    return result.inner_text()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_spreadsheets_are_read(labels, hostile, tmp_path, delimiter, encoding):
    a, b, c = hostile.labels["pair_id"].to_pylist()[:3]
    rows = [["pair_id", "action"], [a, "Flip"], [b, "0.5"], [c, ""]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    path = tmp_path / "sheet.csv"
    path.write_bytes(text.encode(encoding))
    assert "2 decisions" in load(labels, path)
    assert decided(labels) == 2
    table = labels.locator("#decision-list").inner_text()
    assert "flip" in table and "weight 0.5" in table.replace("\n", " ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'pair_id,action,note\na,drop,"odd\nb,drop,\n', "quotation marks"),
        ("pair_id,action,note\na,drop,\xe9\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_files_that_would_lose_rows_are_refused(labels, tmp_path, data, problem):
    path = tmp_path / "broken.csv"
    path.write_bytes(data)
    assert problem in load(labels, path)
    assert decided(labels) == 0


def test_rows_that_another_machine_appended_are_read(labels, hostile, tmp_path):
    a, b, c = hostile.labels["pair_id"].to_pylist()[:3]
    path = tmp_path / "appended.csv"
    text = f"pair_id,action\r\n{a},drop\r\n{b},flip\n{c},tie\r\n"
    path.write_bytes(text.encode())
    assert "3 decisions" in load(labels, path)
    assert decided(labels) == 3


def test_a_decision_is_there_after_an_immediate_reload(labels):
    assert count(labels) and shown(labels, "pair_id")
    labels.keyboard.press("j")
    labels.keyboard.press("d")
    labels.reload()
    until(lambda: decided(labels) == 1)
