"""Whatever rows hold, `prepare` reads them: a bad row is listed, and nothing else of
the file is lost, counted twice or mixed up."""

import math
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from tests.support.files import write_text
from tests.support.fuzzed import (
    KINDS,
    OPTIONS,
    TOGETHER,
    Prepared,
    is_a_line,
    jsonl,
    mangled,
    prepared,
    recipe_of,
    whole_row,
)


def read(folder, base, rows, options) -> Prepared | None:
    """What becomes of the rows; None where the file has no shape that is known."""
    path = str(write_text(folder / "rows.jsonl", jsonl(rows)))
    try:
        found = prepared(path, recipe_of(path, base, **options))
    except ValueError as error:
        assert is_a_line(error, path), error
        return None
    for problem in found.excluded["problem"].to_pylist():
        assert problem.isprintable(), problem
        assert "cannot be read" not in problem, problem
    for name in ("target", "weight", "required_margin"):
        assert all(map(math.isfinite, found.labels[name].to_pylist())), name
    assert all(0 <= target <= 1 for target in found.labels["target"].to_pylist())
    assert len(found.labels) == found.index.states["used"]
    assert len(set(found.rows["place"].to_pylist())) == len(found.rows), "places"
    assert len(found.labels) + len(found.excluded) == len(found.rows), "sum"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


ASKED = {"prompt": "Ask?", "response_a": "yes", "response_b": "no"}
REPLIES = [
    {"text": t, "rank": n, "role": "assistant"} for n, t in enumerate(("yes", "no"))
]
BRANCHES = [reply | {"replies": REPLIES} for reply in REPLIES]
FOUND: dict[str, tuple[list[dict[str, Any]], dict[str, str], int]] = {
    "an id": ([whole_row("pairs", 1) | {"pair_id": "\ud800"}], {}, 0),
    "a labeler": ([ASKED | {"annotations": {"\udc80": "a"}}], {}, 0),
    "no list of judgments": (
        [ASKED | {"annotations": ["a", "b"]}, ASKED | {"annotations": False}],
        {},
        2,
    ),
    "one labeler twice": (
        [ASKED | {"annotations": [{"labeler": "x", "choice": c} for c in "ab"]}],
        {},
        1,
    ),
    "a turn that is none": (
        [whole_row("turns", i) for i in (1, 2)] + [{"turns": [False]}],
        {},
        2,
    ),
    "two of one": (
        [ASKED | {"winner_a": 2, "winner_b": -1, "winner_tie": 0}],
        {},
        0,
    ),
    "an infinite difference": (
        [ASKED | {"answers": ["yes", "no"], "scores": [1e308, -1e308]}],
        {"strength": "weight"},
        0,
    ),
    "replies that are none": (
        [whole_row("trees", 1), {"prompt": {"replies": [{"replies": 1.5}]}}],
        {},
        1,
    ),
    "branches of one tree": (
        [{"prompt": {"text": "Ask?", "role": "user", "replies": BRANCHES}}],
        {},
        3,
    ),
}
"""{what is odd: rows, options, labels that they give}: rows that were lost, ended
prepare or gave wrong numbers before."""


@pytest.mark.parametrize("odd", FOUND)
def test_odd_rows_are_read_or_listed(folder, llama_folder, odd):
    rows, options, num_labels = FOUND[odd]
    found = read(folder, llama_folder, rows, options)
    assert found is not None
    assert len(found.labels) == num_labels
    assert found.index.num_rows == len(rows)


def test_many_values_that_are_all_rare_tell_the_scale(folder, llama_folder):
    rows = [
        ASKED | {"prompt": f"Ask {i}?", "preference": i / 100 - 1} for i in range(150)
    ]
    found = read(folder, llama_folder, rows, {})
    assert found is not None
    assert len(found.labels) == 149  # one is a tie


@settings(max_examples=50, deadline=None, derandomize=True)
@given(rows=mangled(KINDS), options=OPTIONS)
def test_rows_of_any_contents_are_read_or_listed(folder, llama_folder, rows, options):
    found = read(folder, llama_folder, rows, options)
    if found is None:
        return
    # Every row is read once, and is a label or is listed.
    assert found.index.num_rows == len(rows), "num_rows"
    used, left_out = (
        Counter(table[name].to_pylist())
        for table, name in ((found.labels, "file_row"), (found.excluded, "row"))
    )
    assert used.keys() | left_out.keys() == set(range(1, 1 + len(rows))), "keys"
    by_id = {row["comparison_id"]: row for row in found.comparisons.to_pylist()}
    for label in found.labels.to_pylist():
        texts = by_id[label["comparison_id"]]
        said = "".join(texts[n] for n in ("prompt", "response_a", "response_b"))
        assert set(re.findall(r"w(\d+)w", said)) <= {str(label["file_row"])}, "mixed"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rows=mangled(TOGETHER), options=OPTIONS)
def test_rows_that_are_read_together_are_read_or_listed(
    folder, llama_folder, rows, options
):
    read(folder, llama_folder, rows, options)
