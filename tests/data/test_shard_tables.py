"""Cuts between shards, tables of a shard, kept columns, duplicates, the data report."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflib.data.label_index import LabelIndex
from inflib.data.row_schema import place_of
from inflib.data.rows import used_rows
from inflib.data.shard_tables import kept_columns, plan_shards, shard_tables
from tests.support.shard_rows import kinds, row, table, unused


@settings(derandomize=True)
@given(st.lists(st.integers(1, 500), min_size=1), st.integers(1, 20))
def test_shards_are_bounded_and_cover_everything(totals, shard_rows):
    cuts = plan_shards(totals, shard_rows)
    edges = [0, *cuts, len(totals)]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    assert all(0 < size <= shard_rows for size in sizes)


def test_shards_have_about_equal_token_counts():
    totals = list(range(100, 1100))
    target = sum(totals) / 4  # four shards of at most 300 rows hold 1000
    edges = [0, *plan_shards(totals, 300), 1000]
    for start, stop in itertools.pairwise(edges):
        num_tokens = sum(totals[start:stop])
        # No cut elsewhere is nearer to the target, unless the shard is full or last.
        assert num_tokens <= target + totals[stop - 1] / 2
        if stop - start < 300 and stop < 1000:
            assert num_tokens >= target - totals[stop] / 2


def test_kept_columns_get_one_type_over_all_rows():
    columns = kept_columns(
        {
            kinds(labeler="str", time="int", score="int", ok="bool"),
            kinds(labeler="null", time="int", score="float", ok="bool"),
            kinds(labeler="str", time="str", score="null", ok="null"),
            kinds(never="null"),
        }
    )
    assert columns == {
        "labeler": pa.string(),
        "time": pa.string(),  # int here, text there
        "score": pa.float64(),
        "ok": pa.bool_(),
        "never": pa.string(),
    }


def test_labels_of_one_comparison_share_its_row():
    rows = table(
        row("x", "c0", sign=1), row("y", "c0", sign=-1), row("z", "c1", sign=-1)
    )
    comparisons, labels = shard_tables(
        rows, {"labeler": pa.string(), "time": pa.string()}
    )
    assert comparisons["comparison_id"].to_pylist() == ["c0", "c1"]
    assert labels["row"].to_pylist() == [0, 0, 1]
    assert labels["sign"].to_pylist() == [1, -1, -1]
    assert labels["time"].to_pylist() == ["3", "3", "3"]


def test_the_first_row_of_a_pair_id_stays():
    index = LabelIndex()
    index.add(table(row("x", file_row=1), row("y", file_row=2)))
    index.add(table(row("x", "c1", file_row=3), row("x", "c2", file_row=4)))
    index.name_by_labeler()
    dropped = index.drop_duplicates()
    assert dropped.tolist() == [place_of("train", "f", 3), place_of("train", "f", 4)]
    assert [(r["row"], r["problem"]) for r in index.unused] == [
        (3, "duplicate pair_id"),
        (4, "duplicate pair_id"),
    ]
    rows = table(row("y", file_row=2), row("x", "c1", file_row=3))
    kept = used_rows(rows, dropped, None, frozenset())
    assert kept["pair_id"].to_pylist() == ["y"]
    kept = used_rows(rows, None, dropped, frozenset())
    assert kept["pair_id"].to_pylist() == ["x"]


def test_labels_of_one_pair_id_by_several_labelers_all_stay():
    index = LabelIndex()
    rows = table(
        row("x", file_row=1, labeler="ana"),
        row("x", file_row=2, labeler="bob"),
        row("x", file_row=3, labeler="bob"),
        row("y", "c1", file_row=4, labeler="ana"),
    )
    index.add(rows)
    index.name_by_labeler()
    assert index.ids_by_labeler
    dropped = index.drop_duplicates()
    kept = used_rows(rows, dropped, None, frozenset(["train"]))
    assert kept["pair_id"].to_pylist() == ["x:ana", "x:bob", "y:ana"]
    assert [r["row"] for r in index.unused] == [3]


def test_the_report_counts_what_happened():
    index = LabelIndex()
    index.add(
        table(
            row("x", length=40, length_difference=-2, num_cut=3),
            row("y", "c1", length=20, length_difference=5, file_row=2),
            row("z", "c1", length=20, length_difference=0, file_row=3, marks=["odd"]),
            unused("bad", 4, problem="broken JSON: at 7"),
            unused("outside", 5),
            unused("tie", 5, problem="tie", first=False),
        )
    )
    report = index.report()
    assert report["too_long"] is None
    assert report["rows_read"] == 5
    assert (report["labels"], report["comparisons"]) == (3, 2)
    assert report["excluded"] == {"broken JSON": 1, "tie": 1}
    assert report["noted"] == {"odd": 1}
    assert report["rows_not_asked_for"] == 1
    assert report["prompts_cut"] == 1
    quantiles = {"median": 20, "95%": 38, "longest": 40}
    assert report["length_quantiles"] == quantiles
    assert report["share_longer_chosen"] == pytest.approx(0.5)  # the tie left out
    assert report["length_histogram"]["0-31"] == 2
    assert report["length_histogram"]["32-63"] == 1


def test_the_report_says_what_max_length_would_keep_nearly_all():
    index = LabelIndex()
    fitting = [row(f"x{i}", length=40, file_row=i) for i in range(1, 11)]
    too_long = [
        unused("too long", 10 + i, problem=f"responses need {n} tokens, more than max")
        for i, n in enumerate((90, 100, 400), start=1)
    ]
    index.add(table(*fitting, *too_long))
    # Of 13, 95% are the 13th: all of them.
    assert index.report()["too_long"] == {"labels": 3, "length_for_95%": 400}
