"""Labels by made-up labelers on pairs of dialogues (scripts/simulate_labelers.py)."""

import gzip
import json
import random
import runpy

import pytest

from tests.support.files import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts/simulate_labelers.py"))
LONG, SHORT = "a longer answer", "short"


@pytest.mark.parametrize(
    ("labeler", "wrong", "longer", "first"),
    [
        ("labeler-00", 0.1 * 0.1 + 0.9 * 0.5, 0.9 + 0.1 * 0.5, 0.5),
        ("labeler-02", 0.4 * 0.1 + 0.6 * 0.5, 0.5, 0.5),
        ("labeler-03", 0.75 * 0.1 + 0.25, 0.5, 0.5),
        ("labeler-04", 0.4 * 0.1 + 0.6 * 0.5, 0.5, 0.6 + 0.4 * 0.5),
        ("labeler-19", 0.1, 0.5, 0.5),
    ],
)
def test_each_labeler_errs_and_prefers_as_documented(labeler, wrong, longer, first):
    rng = random.Random(1)
    n, pairs = 20_000, ((LONG, SHORT), (SHORT, LONG))
    rows = [SCRIPT["label"](rng, labeler, *pairs[i % 2]) for i in range(n)]
    for count, expected in (
        (sum(row["wrong"] for row in rows), wrong),
        (sum(row["chosen"] == LONG for row in rows), longer),
        (sum(row["chosen_first"] for row in rows), first),
    ):
        assert abs(count / n - expected) < 4 * (0.25 / n) ** 0.5
    for row, (right, _) in zip(rows, pairs * (n // 2), strict=True):
        assert row["wrong"] == (row["chosen"] != right)
        assert {row["chosen"], row["rejected"]} == {LONG, SHORT}


@pytest.mark.parametrize(("labelers", "train_share"), [(3, 0.5), (1, 0.8)])
def test_train_and_expert_share_no_prompt_and_pairs_have_their_labelers(
    tmp_path, labelers, train_share
):
    pairs = [
        {"chosen": f"\n\nHuman: {i}\n\nAssistant: a", "rejected": f"\n\nHuman: {i} b"}
        for i in range(200)
    ] + [{"chosen": "x" * 501, "rejected": "y"}]
    with gzip.open(tmp_path / "hh.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in pairs)
    path = str(tmp_path / "hh.jsonl.gz")
    SCRIPT["simulate"]([path], tmp_path, 0, labels_per_pair=labelers, longest=500)
    train, expert = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("train.jsonl", "expert.jsonl")
    )
    labelled = {row["pair_id"].rpartition(":")[0] for row in train}
    assert not labelled & {row["pair_id"] for row in expert}
    assert (
        len(train) == labelers * len(labelled) == len({row["pair_id"] for row in train})
    )
    for count, share in (
        (len(labelled), train_share),
        (len(expert), 0.2),
    ):  # of 200 prompts
        assert abs(count - 200 * share) < 4 * (200 * share * (1 - share)) ** 0.5
    assert all(len(row["chosen"]) <= 500 for row in train + expert)
