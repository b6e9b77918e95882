"""Pages: all text is escaped, the chosen response is on the left."""

import pyarrow as pa

from inflib.oversight.page import labeler_page
from inflib.report.html import document, label_table, rows_table

TEXT = {"prompt": "<p> & co", "response_a": "A <i>", "response_b": "B"}


def test_text_is_escaped_everywhere():
    page = document(
        "<t>", [rows_table([{"<n>": "<v>"}]), label_table("<l>", TEXT, 1, False)]
    )
    for raw in ("<t>", "<n>", "<v>", "<l>", "<p> & co", "A <i>"):
        assert raw not in page
    for safe in (
        "&lt;t&gt;",
        "&lt;n&gt;",
        "&lt;v&gt;",
        "&lt;l&gt;",
        "&lt;p&gt; &amp; co",
    ):
        assert safe in page
    assert rows_table([]) == ""


def test_the_chosen_response_comes_first_and_marked_labels_are_coloured():
    first = label_table("x", TEXT, 1, False)
    second = label_table("x", TEXT, -1, True)
    assert first.index("A &lt;i&gt;") < first.index("<p>B</p>")
    assert second.index("<p>B</p>") < second.index("A &lt;i&gt;")
    assert "marked" not in first and "class='marked'" in second


def test_a_labelers_page_holds_weights_and_decisions_with_their_texts():
    table = pa.table({"sign": [1, -1]})
    row = {"objective": "long & winded", "labeler_weight": 0.8, "expert_weight": 0.1}
    row |= {"difference": 0.7, "low": 0.5, "high": 0.9, "p": 0.01}
    found = {"pair_id": "p2", "place": 1, "influence": 0.25, "error": 0.125}
    found |= {"long & winded": -2.0}
    other = {"prompt": "other", "response_a": "left", "response_b": "right"}
    page = labeler_page("ana <b>", table, [row], [found], [other])
    assert "Labeler ana &lt;b&gt;" in page and "2 labels" in page
    assert "<td>0.80</td><td>0.10</td><td>+0.70 (+0.50 to +0.90)</td>" in page
    assert "<td>weighs it more than the expert</td>" in page
    assert "p2: influence 0.25 (standard error 0.12)" in page
    assert page.index("<p>right</p>") < page.index(
        "<p>left</p>"
    )  # the sign turns them round
    assert "chosen - rejected: long &amp; winded -2" in page
    few = labeler_page("bo", table, [], [found | {"place": 0}], [TEXT])
    assert "Too few labels" in few and "chosen - rejected" not in few
    assert few.index("A &lt;i&gt;") < few.index("<p>B</p>")
