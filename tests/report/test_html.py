"""Pages in HTML: all text is escaped, the chosen response is on the left."""

import pyarrow as pa

from inflib.oversight.page import labeler_page
from inflib.report.html import document, label_table, rows_table

TEXT = {"prompt": "<p> & co", "response_a": "A <i>", "response_b": "B"}


def test_text_is_escaped_everywhere():
    tables = [rows_table([{"<n>": "<v>"}]), label_table("<l>", TEXT, 1, False)]
    page = document("<t>", tables)
    for raw in ("<t>", "<n>", "<v>", "<l>", "<p> & co", "A <i>"):
        assert raw not in page
    for name in "tnvl":
        assert f"&lt;{name}&gt;" in page
    assert "&lt;p&gt; &amp; co" in page


def test_control_characters_and_overrides_do_not_reach_a_page():
    evil = {"prompt": "a\x1b[2J\nb", "response_a": "\u202ec", "response_b": "\x9b1m"}
    page = document("t\x07", [label_table("l\x85", evil, 1, False)])
    assert not {"\x1b", "\u202e", "\x9b", "\x07", "\x85"} & set(page)
    assert "<p>a\nb</p>" in page


def test_no_rows_make_no_table():
    assert rows_table([]) == ""


def test_the_chosen_response_comes_first_and_marked_labels_are_coloured():
    a_chosen = label_table("x", TEXT, 1, False)
    b_chosen = label_table("x", TEXT, -1, True)
    assert a_chosen.index("A &lt;i&gt;") < a_chosen.index("<p>B</p>")
    assert b_chosen.index("<p>B</p>") < b_chosen.index("A &lt;i&gt;")
    assert "marked" not in a_chosen and "class='marked'" in b_chosen


def test_a_labelers_page_holds_weights_and_decisions_with_their_texts():
    table = pa.table({"sign": [1, -1]})
    weight = {"objective": "long & winded", "labeler_weight": 0.8, "expert_weight": 0.1}
    weight |= {"difference": 0.7, "low": 0.5, "high": 0.9, "p": 0.01}
    decision = {"pair_id": "p2", "place": 1, "influence": 0.25, "error": 0.125}
    decision |= {"long & winded": -2.0}
    text = {"prompt": "other", "response_a": "left", "response_b": "right"}
    page = labeler_page("ana <b>", table, [weight], [decision], [text])
    assert "Labeler ana &lt;b&gt;" in page and "2 labels" in page
    assert "<td>0.80</td><td>0.10</td><td>+0.70 (+0.50 to +0.90)</td>" in page
    assert "<td>weighs it more than the expert</td>" in page
    assert "p2: influence 0.25 (standard error 0.12)" in page
    # Response b was chosen: the sign of label 1 is -1.
    assert page.index("<p>right</p>") < page.index("<p>left</p>")
    assert "chosen - rejected: long &amp; winded -2" in page
    few = labeler_page("bo", table, [], [decision | {"place": 0}], [TEXT])
    assert "Too few labels" in few and "chosen - rejected" not in few
    assert few.index("A &lt;i&gt;") < few.index("<p>B</p>")
