"""The demo's data is what it claims to be."""

import json

import numpy as np

from inflib.data.synthetic.one_biased_labeler import LABELERS, generate


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_labeler_prefers_longer_and_quality_is_independent_of_length(tmp_path):
    planted = generate(tmp_path, seed=5, num_pairs=3000, num_queries=3000)
    rows, expert = read(tmp_path / "train.jsonl"), read(tmp_path / "expert.jsonl")
    assert {r["labeler"] for r in rows} == set(LABELERS)
    assert {r["labeler"] for r in rows if r["wrong"]} == {planted}
    mine = [r for r in rows if r["labeler"] == planted]
    assert all(len(r["chosen"]) > len(r["rejected"]) for r in mine if r["wrong"])
    share = np.mean([r["wrong"] for r in mine])
    assert abs(share - 0.5) < 4 * (0.25 / len(mine)) ** 0.5
    longer = np.mean([len(r["chosen"]) > len(r["rejected"]) for r in expert])
    assert abs(longer - 0.5) < 4 * (0.25 / len(expert)) ** 0.5
    assert len({r["pair_id"] for r in rows}) == len(rows)
    assert len(rows) > 3000 * 1.1  # some comparisons have two labels


def test_equal_seeds_equal_data(tmp_path):
    for name in ("one", "two"):
        generate(tmp_path / name, seed=1, num_pairs=20, num_queries=5)
    generate(tmp_path / "other", seed=2, num_pairs=20, num_queries=5)
    one, two, other = (
        (tmp_path / name / "train.jsonl").read_text()
        for name in ("one", "two", "other")
    )
    assert one == two != other
