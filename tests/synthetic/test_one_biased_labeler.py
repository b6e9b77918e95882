"""The demo's data: one biased labeler, and lengths that say nothing of quality."""

import json

import numpy as np

from inflib.synthetic.one_biased_labeler import LABELERS, generate


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_labeler_prefers_longer_and_quality_is_independent_of_length(tmp_path):
    planted = generate(tmp_path, seed=5, num_pairs=3000, num_queries=3000)
    rows, expert = read(tmp_path / "train.jsonl"), read(tmp_path / "expert.jsonl")
    assert {r["labeler"] for r in rows} == set(LABELERS)
    assert {r["labeler"] for r in rows if r["wrong"]} == {planted}
    biased = [r for r in rows if r["labeler"] == planted]
    assert all(len(r["chosen"]) > len(r["rejected"]) for r in biased)
    share = np.mean([r["wrong"] for r in biased])
    assert abs(share - 0.5) < 4 * (0.25 / len(biased)) ** 0.5
    longer = np.mean([len(r["chosen"]) > len(r["rejected"]) for r in expert])
    assert abs(longer - 0.5) < 4 * (0.25 / len(expert)) ** 0.5
    assert len({r["pair_id"] for r in rows}) == len(rows)
    # A fifth of the comparisons has a second label, within 4 standard errors.
    assert abs(len(rows) - 3000 * 1.2) < 4 * (3000 * 0.2 * 0.8) ** 0.5


def test_equal_seeds_equal_data(tmp_path):
    texts = {}
    for name, seed in (("first", 1), ("again", 1), ("other seed", 2)):
        generate(tmp_path / name, seed=seed, num_pairs=20, num_queries=5)
        texts[name] = (tmp_path / name / "train.jsonl").read_text()
    assert texts["first"] == texts["again"] != texts["other seed"]
