"""Columns of the page against influence.parquet, texts against pairs/."""

import numpy as np
import pytest

from inflib.page.data_files import data_file, deflated, plain
from inflib.page.label_columns import TEXTS_PER_CHUNK, is_own
from tests.support.page_files import chunks, columns, data_names, inflated, payload
from tests.support.scored_run import QUERIES, SIZES


def stored(run, name):
    return run.labels[name].to_pylist()


def test_every_number_is_the_one_that_was_scored(scored):
    found = columns(scored)
    numbers = [name for name, (c, _) in found.items() if c.get("dtype") == "f4"]
    assert len(numbers) >= 3 * len(QUERIES) + 3
    for name in numbers:
        expected = np.array(stored(scored, name), float).astype("f4")
        np.testing.assert_array_equal(found[name][1], expected, name)


def test_whole_numbers_and_texts_are_exact(scored):
    found = columns(scored)
    for name in ("sign", "length_difference", "file_row"):
        assert found[name][1].tolist() == stored(scored, name)
    assert found["pair_id"][1] == stored(scored, "pair_id")
    assert found["note"][1] == stored(scored, "note")
    assert found["ticket"][1] == [str(x) for x in stored(scored, "ticket")]
    missing = [name is None for name in stored(scored, "rank_gauss_newton_expert")]
    ranks = found["rank_gauss_newton_expert"][1]
    assert np.isnan(ranks).tolist() == missing and sum(missing) == 1  # of comparison 4


def test_categories_are_named_and_what_is_missing_is_said(scored):
    found = columns(scored)
    assert found["labeler"][1] == stored(scored, "labeler")
    assert found["labeler"][0]["values"][0] is None and found["labeler"][0]["shown"]
    words = {True: "true", False: "false", None: None}
    assert found["wrong"][1] == [words[x] for x in stored(scored, "wrong")]
    assert found["wrong"][0]["values"] == [None, "false", "true"]
    assert found["status"][1] == stored(scored, "status")


def test_every_own_column_is_there_but_one_of_long_texts(scored):
    facts = payload(scored, "facts.js")[2]
    left_out = [column["name"] for column in facts["left_out"]]
    own = {name for name in scored.labels.column_names if is_own(name)}
    assert left_out == ["essay"]
    assert own - {"essay"} == {
        name for name, (c, _) in columns(scored).items() if c["role"] == "own"
    }


def test_further_scores_are_in_files_of_their_own(scored):
    facts = payload(scored, "facts.js")[2]
    assert len(facts["scores"]) == 2 * len(QUERIES)
    for where in facts["scores"]:
        found = columns(scored, f"scores-{where['index']}.js")
        name = f"influence_{where['curvature']}_{where['query']}"
        expected = np.array(stored(scored, name), float).astype("f4")
        np.testing.assert_array_equal(found[name][1], expected)
        assert name not in columns(scored)


def test_each_label_finds_the_texts_of_its_comparison(scored):
    texts = [row for chunk in chunks(scored, "texts") for row in chunk]
    assert len(texts) == sum(SIZES) > TEXTS_PER_CHUNK
    names = ["prompt", "response_a", "response_b"]
    expected = {
        row["comparison_id"]: [row[name] for name in names]
        for table in scored.comparisons()
        for row in table.to_pylist()
    }
    number = columns(scored)["comparison_id"][1]
    for i, name in zip(number, stored(scored, "comparison_id"), strict=True):
        assert texts[i] == expected[name]


@pytest.mark.parametrize("query", [0, 1])
def test_query_labels_have_their_texts_the_chosen_response_first(scored, query):
    rows = [row for chunk in chunks(scored, f"queries-{query}") for row in chunk]
    expected = [
        row
        for table in scored.query_labels(QUERIES[query])
        for row in table.to_pylist()
    ]
    names = ["prompt", "chosen", "rejected", "pair_id", "margin"]
    assert rows == [[row[name] for name in names] for row in expected]
    texts = {
        row["comparison_id"]: row
        for table in scored.comparisons(QUERIES[query])
        for row in table.to_pylist()
    }
    for row in expected:
        assert row["prompt"] == texts[row["pair_id"].rpartition("-")[0]]["prompt"]


def test_files_are_ascii_calls_that_nothing_in_them_can_end(scored):
    assert len(data_names(scored)) > 10
    for name in data_names(scored):
        kind, number, _ = payload(scored, name)
        assert name in (f"{kind}.js", f"{kind}-{number}.js")
    assert "<" not in data_file("x", 0, "</script><!--").decode("ascii")


def test_lone_surrogates_and_infinities_are_replaced():
    odd = {"a\udc00": ["\ud83d", np.float32(2), float("inf"), ("😀", True, None)]}
    expected = {"a\ufffd": ["\ufffd", 2.0, None, ["😀", True, None]]}
    assert plain(odd) == expected
    data_file("x", 0, plain(odd))
    assert inflated(deflated(["x\ud800y", "😀 שלום\u2028"])) == [
        "x\ufffdy",
        "😀 שלום\u2028",
    ]
