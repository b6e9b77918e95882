"""Ratings and choices: every format, every error by file and row, agreement."""

import itertools
import json
import runpy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inflib.data.ratings import read_choices, read_ratings
from inflib.judging.agreement import choice_agreement, rating_agreement, rounded
from tests.support.files import ROOT, write_jsonl

SCRIPT = runpy.run_path(str(ROOT / "scripts/judge_agreement.py"))
ROWS = [
    {"comparison_id": "c1", "a": 1.0, "b": 4.0},
    {"comparison_id": "c2", "a": 2.5, "b": 5.0},
]


def write(path, rows):
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, r.values())) for r in rows)]
        path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_ratings_by_comparison_ignore_the_label(tmp_path, suffix):
    ratings = read_ratings([write(tmp_path / f"x{suffix}", ROWS)], (1.0, 5.0))
    assert ratings.rating("p1", "c1", 1) == (1.0, 4.0)
    assert ratings.rating("p1", "c1", -1) == (1.0, 4.0)
    assert ratings.rating("p1", "c2", -1) == (2.5, 5.0)
    assert ratings.rating("p1", "c3", 1) is None


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_published_ratings_follow_the_source_row(tmp_path, suffix):
    rows = [{"pair_id": "p1", "chosen": 5, "rejected": 2}]
    ratings = read_ratings([write(tmp_path / f"x{suffix}", rows)])
    assert ratings.rating("p1", "c", 1) == (5.0, 2.0)
    assert ratings.rating("p1", "c", -1) == (2.0, 5.0)
    assert ratings.rating("p2", "c", 1) is None


def test_several_judges_are_averaged_across_files_and_kinds_of_id(tmp_path):
    first = write(
        tmp_path / "x.jsonl",
        [
            {"comparison_id": "c", "judge": "one", "a": 1, "b": 2},
            {"comparison_id": "c", "judge": "two", "a": 2, "b": 2},
        ],
    )
    second = write(tmp_path / "y.jsonl", [{"pair_id": 7, "chosen": 5, "rejected": 3}])
    ratings = read_ratings([first, second])
    assert ratings.rating("7", "c", 1) == ((1 + 2 + 5) / 3, (2 + 2 + 3) / 3)
    assert ratings.rating("7", "c", -1) == ((1 + 2 + 3) / 3, (2 + 2 + 5) / 3)
    assert ratings.rating("8", "c", 1) == (1.5, 2.0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"comparison_id": "c", "a": 1}, "needs comparison_id, a and b, or pair_id"),
        ({"pair_id": "p", "a": 1, "b": 2}, r"there is \['a', 'b', 'pair_id'\]"),
        ({"comparison_id": None, "a": 1, "b": 2}, "needs comparison_id"),
        ({"comparison_id": ["c"], "a": 1, "b": 2}, "comparison_id is list, not text"),
        ({"comparison_id": "c", "a": "good", "b": 2}, "a is 'good', not a number"),
        ({"comparison_id": "c", "a": 1, "b": None}, "b is None, not a number"),
        ({"comparison_id": "c", "a": 1, "b": True}, "b is True, not a number"),
        ({"comparison_id": "c", "a": 1, "b": "x" * 99}, "b is str, not a number"),
        ({"comparison_id": "c", "a": "nan", "b": 2}, "a is 'nan', not a number"),
        ({"comparison_id": "c", "a": 0.5, "b": 2}, "a 0.5 is not between 1 and 5"),
        ({"comparison_id": "c1", "a": 1, "b": 2}, "'c1' is rated by '.*x.jsonl' twice"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, problem):
    path = write(tmp_path / "x.jsonl", [*ROWS, row])
    with pytest.raises(ValueError, match=rf"x\.jsonl, row 3: .*{problem}"):
        read_ratings([path], (1.0, 5.0))


def test_broken_lines_are_named(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(ROWS[0]) + "\n{oops\n")
    with pytest.raises(ValueError, match="row 2: broken JSON"):
        read_ratings([str(tmp_path / "x.jsonl")])


def test_choices_are_read_and_bad_ones_named(tmp_path):
    rows = [
        {"comparison_id": "c", "choice": "a"},
        {"comparison_id": 2, "choice": "tie"},
    ]
    path = write(tmp_path / "x.jsonl", rows)
    assert read_choices(path) == {"c": "a", "2": "tie"}
    for row, problem in [
        ({"comparison_id": "c", "choice": "b"}, "'c' is here twice"),
        ({"comparison_id": "d", "choice": "A"}, "must be a, b or tie, not 'A'"),
        ({"choice": "a"}, "no comparison_id"),
    ]:
        with pytest.raises(ValueError, match=rf"x\.jsonl, row 3: .*{problem}"):
            read_choices(write(tmp_path / "x.jsonl", [*rows, row]))


def kappa_by_definition(x, y, weight):
    """1 - observed / expected disagreement; expected: over all pairs of x and y."""
    observed = np.mean([weight(a, b) for a, b in zip(x, y, strict=True)])
    expected = np.mean([weight(a, b) for a, b in itertools.product(x, y)])
    return 1 - observed / expected


def test_agreement_is_that_of_the_definitions():
    first = [1.0, 1.5, 2.4, 4.5, 5.0, 5.0, 2.0]  # 3 and 4 are never given
    second = [1.0, 2.0, 2.0, 5.0, 4.6, 1.0, 2.5]
    x, y = [1, 2, 2, 5, 5, 5, 2], [1, 2, 2, 5, 5, 1, 3]
    assert rounded(first) == x
    assert rounded(second) == y
    first_ranks = np.array([0, 1, 3, 4, 5.5, 5.5, 2])  # ties get the mean of theirs
    second_ranks = np.array([0.5, 2.5, 2.5, 6, 5, 0.5, 4])
    assert rating_agreement(first, second) == {
        "Pearson": pytest.approx(np.corrcoef(first, second)[0, 1]),
        "Spearman": pytest.approx(np.corrcoef(first_ranks, second_ranks)[0, 1]),
        "kappa": pytest.approx(kappa_by_definition(x, y, lambda a, b: a != b)),
        "kappa, quadratic": pytest.approx(
            kappa_by_definition(x, y, lambda a, b: (a - b) ** 2)
        ),
    }


def test_agreement_with_a_constant_is_undefined():
    assert set(rating_agreement([2.0, 2.0], [2.0, 2.0]).values()) == {None}
    assert rating_agreement([1.0, 2.0], [2.0, 2.0])["Pearson"] is None


def test_agreement_of_choices_leaves_ties_out():
    first = ["a", "b", "a", "tie", "b", "a"]
    second = ["a", "b", "b", "a", "tie", "a"]
    x, y = ["a", "b", "a", "a"], ["a", "b", "b", "a"]
    assert choice_agreement(first, second) == {
        "accuracy": 0.75,
        "kappa": pytest.approx(kappa_by_definition(x, y, lambda a, b: a != b)),
        "ties": pytest.approx(2 / 6),
    }
    assert choice_agreement(["tie"], ["a"])["kappa"] is None


def test_the_script_joins_by_id(tmp_path):
    human = [
        {"comparison_id": "c2", "a": 2, "b": 5},
        {"comparison_id": "z", "a": 1, "b": 1},
    ]
    judge_file, human_file = tmp_path / "x.jsonl", tmp_path / "y.csv"
    metrics = SCRIPT["compared"](write(judge_file, ROWS), write(human_file, human))
    assert metrics["n"] == 2  # both responses of c2
    assert metrics["only in one file"] == 4
    assert metrics["Pearson"] == pytest.approx(1.0)
    assert metrics["kappa"] == pytest.approx(
        kappa_by_definition([3, 5], [2, 5], int.__ne__)
    )
    lines = SCRIPT["table"](metrics).splitlines()
    assert lines[0].startswith("| n | only in one file | Pearson | Spearman | kappa |")
    assert lines[2].startswith("| 2 | 4 | 1.000 | 1.000 |")


def test_the_script_refuses_files_that_do_not_go_together(tmp_path):
    ratings = write(tmp_path / "x.jsonl", ROWS)
    pairs = write(tmp_path / "y.jsonl", [{"pair_id": "c1", "chosen": 1, "rejected": 2}])
    choices = write(tmp_path / "z.jsonl", [{"comparison_id": "c1", "choice": "a"}])
    with pytest.raises(ValueError, match="no comparison_id"):
        SCRIPT["compared"](ratings, pairs)
    with pytest.raises(ValueError, match="ratings in one and choices in the other"):
        SCRIPT["compared"](ratings, choices)
