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


def test_train_and_expert_share_no_prompt_and_pairs_have_three_labelers(tmp_path):
    pairs = [
        {"chosen": f"\n\nHuman: {i}\n\nAssistant: a", "rejected": f"\n\nHuman: {i} b"}
        for i in range(200)
    ] + [{"chosen": "x" * 501, "rejected": "y"}]
    with gzip.open(tmp_path / "hh.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in pairs)
    SCRIPT["simulate"]([str(tmp_path / "hh.jsonl.gz")], tmp_path, seed=0)
    train, expert = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("train.jsonl", "expert.jsonl")
    )
    labelled = {row["pair_id"].rpartition(":")[0] for row in train}
    assert not labelled & {row["pair_id"] for row in expert}
    assert len(train) == 3 * len(labelled) == len({row["pair_id"] for row in train})
    for count, share in ((len(labelled), 0.5), (len(expert), 0.2)):  # of 200 prompts
        assert abs(count - 200 * share) < 4 * (200 * share * (1 - share)) ** 0.5
    assert all(len(row["chosen"]) <= 500 for row in train + expert)
