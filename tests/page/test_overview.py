"""What the overview says of acting on the labels that surely harm a query set."""

import numpy as np

from inflib.page.overview import what_ifs


def test_dropping_all_labels_is_not_asked_for(scored):
    run, query = scored, next(iter(scored.recipe.prepare.queries))
    some = run.counted & (np.arange(len(run.counted)) % 2 == 0)
    assert [row["action"] for row in what_ifs(run, query, some)] == ["flip", "drop"]
    assert [row["action"] for row in what_ifs(run, query, run.counted)] == ["flip"]
