"""Pages of their own (guidance, examples): text is escaped, nothing can run."""

import re

import numpy as np
import pyarrow as pa
import pytest

from inflib.detection.examples import examples_page
from inflib.oversight.page import labeler_page
from inflib.page.environment import render
from inflib.storage.folder import Folder

TEXT = {"prompt": "<p> & co", "response_a": "A <i>", "response_b": "B"}
EVIL = "</td><script>x=1</script>{{ 7 * 7 }}\x1b[2J\u202e\x9b1m\x07\x85"


def examples(rows):
    """examples.html.j2 with these rows."""
    lists = [{"title": "t", "rows": rows}]
    return render("examples.html.j2", title="t", lists=lists)


def guidance(labeler, text, decision=None):
    """The page of a labeler with two labels, the second of which is shown."""
    table = pa.table({"sign": [1, -1]})
    weight = {"objective": "long & winded", "labeler_weight": 0.8, "expert_weight": 0.1}
    weight |= {"difference": 0.7, "low": 0.5, "high": 0.9, "p": 0.01}
    row = {"pair_id": "p2", "place": 1, "influence": 0.25, "error": 0.125}
    row |= {"long & winded": -2.0} | (decision or {})
    return labeler_page(labeler, table, [weight], [row], [text])


def test_hostile_texts_are_inert():
    evil = dict.fromkeys(TEXT, EVIL)
    row = {"heading": EVIL, "text": evil, "sign": 1, "marked": False}
    for page in (examples([row]), guidance(EVIL, evil, {"pair_id": EVIL})):
        assert "<script" not in page and "&lt;script&gt;" in page
        assert "{{ 7 * 7 }}" in page  # shown as it is
        assert not {"\x1b", "\u202e", "\x9b", "\x07", "\x85"} & set(page)
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy.startswith("default-src 'none'; style-src 'nonce-page'")


def test_lines_of_a_text_stay_lines():
    text = TEXT | {"prompt": "a\nb"}
    row = {"heading": "h", "text": text, "sign": 1, "marked": False}
    assert ">a\nb<" in examples([row])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_chosen_response_comes_first_and_marked_labels_are_coloured(sign):
    row = {"heading": "x", "text": TEXT, "sign": sign, "marked": sign < 0}
    page = examples([row])
    a, b = page.index("A &lt;i&gt;"), page.index(">B<")
    assert (a < b) == (sign > 0)
    assert ('class="marked"' in page) == (sign < 0)


def test_a_labelers_page_holds_weights_and_decisions_with_their_texts():
    text = {"prompt": "other", "response_a": "left", "response_b": "right"}
    page = guidance("ana <b>", text)
    assert "Labeler ana &lt;b&gt;" in page and "2 labels" in page
    assert "<td>0.80</td><td>0.10</td><td>+0.70 (+0.50 to +0.90)</td>" in page
    assert "<td>weighs it more than the expert</td>" in page
    assert "p2: influence 0.25 (standard error 0.12)" in page
    # Response b was chosen: the sign of label 1 is -1.
    assert page.index(">right<") < page.index(">left<")
    assert "chosen - rejected: long &amp; winded -2" in page
    row = {"pair_id": "p", "place": 0, "influence": 0.1, "error": 0.1}
    few = labeler_page("bo", pa.table({"sign": [1]}), [], [row], [TEXT])
    assert "Too few labels" in few and "chosen - rejected" not in few


def test_examples_are_the_labels_at_either_end(tmp_path, monkeypatch):
    table = pa.table(
        {
            "pair_id": [f"p{i}" for i in range(5)],
            "comparison_id": ["c"] * 5,
            "sign": [1] * 5,
            "margin": [0.5] * 5,
            "length_difference": [3] * 5,
            "influence_x": [0.1, 0.5, -0.3, 0.2, -0.1],
        }
    )
    monkeypatch.setattr("inflib.detection.examples.PairsFolder", lambda folder: folder)
    monkeypatch.setattr("inflib.detection.examples.TextsById", lambda _: {"c": TEXT})
    wrong = np.array([False, True, False, False, False])
    run = Folder(str(tmp_path))
    page = examples_page(run, table, {"q": "influence_x"}, wrong, 2)
    assert re.findall(r"(p\d): influence", page) == ["p1", "p3", "p2", "p4"]
    assert page.count('class="marked"') == 1 and "tokens, planted" in page
