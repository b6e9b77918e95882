"""Labelers' means on votes of real people: half of them foretells the other half."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from inflib.numerics.group_means import Groups, shrink

DATA = os.environ.get("INFLIB_REAL_DATA")
"""Folder with mtbench/ and mqm/, each with votes.jsonl.gz: labeler, prompt, others."""
SHARES = np.full(10, 0.1)


def votes(name):
    """(labeler, prompt, whether the others disagree) of the votes that others
    cast, too; the last one stands in for influence."""
    if DATA is None:
        pytest.skip("INFLIB_REAL_DATA names no folder with real votes")
    path = Path(DATA) / name / "votes.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        rows = [row for line in lines if (row := json.loads(line))["others"]]
    columns = [[row[key] for row in rows] for key in ("labeler", "prompt")]
    disagree = [row["others"] == "disagree" for row in rows]
    return *map(np.array, columns), np.array(disagree, dtype=float)


@pytest.mark.parametrize(("name", "least"), [("mtbench", 0.88), ("mqm", 0.8)])
def test_half_of_the_prompts_foretells_the_other_half(name, least):
    """mqm: votes of one document go together, too, which nothing here knows of; with
    labels as independent observations 0.74 are covered."""
    labelers, texts, disagree = votes(name)
    _, prompts = np.unique(texts, return_inverse=True)
    rng, covered = np.random.default_rng(0), []
    for _ in range(10):
        half = rng.permutation(prompts.max() + 1) % 2 == 0
        first = half[prompts]
        names, numbers = np.unique(labelers[first], return_inverse=True)
        parts = disagree[first, None] * SHARES
        parts = parts + 0.02 * rng.normal(size=parts.shape)
        shown, _ = shrink(Groups.of(numbers, parts, SHARES, prompts[first]))
        for i, labeler in enumerate(names):
            own, others = disagree[~first & (labelers == labeler)], disagree[~first]
            if len(own) >= 10:
                error = own.var() / len(own) + others.var() / len(others)
                half_width = stats.t.ppf(0.975, shown.freedom[i])
                half_width *= np.sqrt(shown.variance[i] + error)
                covered.append(
                    abs(own.mean() - others.mean() - shown.harm[i]) < half_width
                )
    assert np.mean(covered) > least
