"""Groups of labels in the scores table, and the traits of what each label prefers."""

import numpy as np
import pyarrow as pa
import pytest

from inflib.config.score import ReportConfig
from inflib.report.labelers import (
    audit_groups,
    audit_preferences,
    group_columns,
    missing_groups,
    own_columns,
    small_groups,
    time_buckets,
    traits,
)


def test_biased_labelers_do_not_make_the_others_look_odd():
    """Four of ten choose the longer response: the others' share is that of the six."""
    rng = np.random.default_rng(0)
    labelers = np.arange(10).repeat(150)
    longer = rng.random(1500) < np.where(labelers < 4, 0.9, 0.5)
    table = pa.table(
        {
            "comparison_id": [str(i) for i in range(1500)],
            "sign": pa.array(np.ones(1500), pa.int8()),
            "length_difference": np.where(longer, 3, -3),
            "margin": np.zeros(1500),
            "labeler": [str(i) for i in labelers],
        }
    )
    tests = {
        name: traits["longer"]
        for name, traits in audit_preferences(ReportConfig(), table)["labeler"].items()
    }
    unusual = [name for name, test in tests.items() if test["unusual"]]
    assert unusual == ["0", "1", "2", "3"]
    for labeler in range(10):
        right = (labelers >= 4) & (labelers != labeler)
        # At most half of the ten are left out: the four, and maybe one right one.
        shares = [longer[right & (labelers != out)].mean() for out in range(3, 10)]
        assert tests[str(labeler)]["others"] in [pytest.approx(s) for s in shares]


def test_a_labeler_that_was_left_out_at_first_is_taken_back():
    """The largest one looks odd beside four biased ones, and is not."""
    rng = np.random.default_rng(0)
    labelers = np.arange(10).repeat([150] * 9 + [3000])
    longer = rng.random(4350) < np.where(labelers < 4, 0.9, 0.5)
    table = pa.table(
        {
            "comparison_id": [str(i) for i in range(4350)],
            "sign": pa.array(np.ones(4350), pa.int8()),
            "length_difference": np.where(longer, 3, -3),
            "margin": np.zeros(4350),
            "labeler": [str(i) for i in labelers],
        }
    )
    tests = audit_preferences(ReportConfig(), table)["labeler"]
    unusual = [name for name, test in tests.items() if test["longer"]["unusual"]]
    assert unusual == ["0", "1", "2", "3"]
    right = (labelers >= 4) & (labelers != 5)
    assert tests["5"]["longer"]["others"] == pytest.approx(longer[right].mean())


TABLE = pa.table(
    {
        "comparison_id": ["x", "x", "x", "y", "z"],
        "sign": pa.array([1, 1, -1, 1, -1], pa.int8()),
        "length_difference": [3, 3, -3, 0, 2],
        "margin": [0.5, 0.5, -0.5, 0.0, 1.0],
        "labeler": ["a", "b", None, "a", "a"],
        "shown_first": [True, None, False, True, True],
        "parts_c": pa.array([[1.0, 2.0]] * 5, pa.list_(pa.float32(), 2)),
    }
)


QUALITY = {"labeler": {x: {"p_value": 0.5, "given_quality": None} for x in "ab-"}}


def test_traits_of_labels():
    everyone = np.ones(5, bool)
    values = traits(ReportConfig(position="shown_first"), TABLE, everyone)
    nan = np.nan
    np.testing.assert_array_equal(values["longer"], [1, 1, 0, nan, 1])
    np.testing.assert_array_equal(values["model"], [1, 1, 0, nan, 1])
    np.testing.assert_array_equal(values["others"], [nan, nan, 0, nan, nan])
    np.testing.assert_array_equal(values["first"], [1, nan, 0, 1, 1])
    with pytest.raises(ValueError, match=r"report\.position 'missing' is no column"):
        traits(ReportConfig(position="missing"), TABLE, everyone)
    trusted = np.array([True, False, True, True, True])
    values = traits(ReportConfig(), TABLE, trusted)
    np.testing.assert_array_equal(values["others"], [0, nan, 0, nan, nan])


def test_columns_that_the_data_lacks_are_left_out_and_a_wrong_time_is_refused():
    config = ReportConfig(groups=("labeler", "source"), min_labels=1)
    assert group_columns(config, TABLE) == {"labeler": ["a", "b", "-", "a", "a"]}
    preferences = audit_preferences(config, TABLE)
    rows = audit_groups(config, TABLE, "c", np.array([0.5, 0.5]), preferences, QUALITY)
    assert set(rows["groups"]) == set(preferences) == {"labeler"}
    assert {row["name"] for row in rows["groups"]["labeler"]} == {"a", "b", "-"}
    spread = rows["spread"]["labeler"]
    assert 0 <= spread["low"] < spread["high"]
    with pytest.raises(ValueError, match=r"report\.time 'when' is no column"):
        group_columns(ReportConfig(time="when"), TABLE)


def test_times_are_cut_into_ten_equal_shares():
    buckets = time_buckets([*range(100, 0, -1), None])
    assert buckets[-1] == "-" and buckets[0] == "91 to 100" and buckets[99] == "1 to 10"
    assert len(set(buckets)) == 11
    assert time_buckets(["2024-01", "2024-01", None]) == ["2024-01 to 2024-01"] * 2 + [
        "-"
    ]
    assert time_buckets([None]) == ["-"]


def test_small_groups_are_counted_and_not_listed():
    config = ReportConfig(min_labels=2)
    assert small_groups(config, TABLE) == {"labeler": {"groups": 2, "labels": 2}}
    preferences = audit_preferences(config, TABLE)
    assert set(preferences["labeler"]) == {"a"}
    rows = audit_groups(config, TABLE, "c", np.array([0.5, 0.5]), preferences, QUALITY)
    assert [(row["name"], row["labels"]) for row in rows["groups"]["labeler"]] == [
        ("a", 3)
    ]


def test_missing_columns_are_said():
    (note,) = missing_groups(ReportConfig(groups=("labeler", "annotater")), TABLE)
    assert note == (
        "report.groups: the data has no column 'annotater'; it has 'labeler', "
        "'shown_first'"
    )
    assert missing_groups(ReportConfig(), TABLE) == []  # no one asked for `source`
    (note,) = missing_groups(ReportConfig(), TABLE.drop_columns(["labeler"]))
    assert note.startswith("No column says who gave a label")
    many = pa.table({f"c{i}": [1] for i in range(13)})
    assert own_columns(many).endswith("'c9' and 3 more")


def test_times_in_text_are_numbers_and_nan_is_no_time():
    texts = time_buckets([str(i) for i in range(1, 101)])
    assert texts[0] == "1 to 10" and texts[99] == "91 to 100"
    assert time_buckets([1.0, float("nan"), 2.5])[1] == "-"
    days = [f"2026-01-{day:02}" for day in range(1, 21)]
    assert time_buckets(days)[0] == "2026-01-01 to 2026-01-02"
