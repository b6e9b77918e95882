"""Generated sources: the same rows wherever they are read, and what is in them."""

import numpy as np
import pytest

from inflib.data.readers import RawRow, find_files, fingerprint, read_rows
from inflib.data.synthetic.sources import rows
from inflib.data.synthetic.topics import FLATTERY

ADDRESS = "generated:flattery?pairs=300&seed=4"


def test_rows_are_fixed_by_the_address():
    found = list(rows(ADDRESS))
    assert found == list(rows(ADDRESS))
    assert found[:20] == list(rows("generated:flattery?pairs=20&seed=4"))
    assert found != list(rows("generated:flattery?pairs=300&seed=5"))
    assert len({row["pair_id"] for row in found}) == 300


def test_readers_take_them_as_files():
    assert find_files(ADDRESS) == [ADDRESS] and fingerprint(ADDRESS) == ""
    first = next(iter(read_rows(ADDRESS, "train")))
    assert first == RawRow(ADDRESS, 1, next(rows(ADDRESS)))


def test_ratings_follow_the_phrases():
    """Where nothing flattering is said the mean rating is near 1, and 5 near 5."""
    levels: dict[int, list[int]] = {level: [] for level in FLATTERY}
    ratings = list(rows("generated:flattery_ratings?pairs=300&seed=4"))
    assert len(ratings) == 600
    by_pair = {row["pair_id"]: row for row in ratings}
    for row in rows(ADDRESS):
        for side in ("chosen", "rejected"):
            said = [
                level
                for level, phrases in FLATTERY.items()
                for before, after in phrases
                if row[side].startswith(before) and row[side].endswith(after)
            ]
            levels[max(said)].append(by_pair[row["pair_id"]][side])
    means = [float(np.mean(found)) for found in levels.values()]
    assert means == sorted(means) and means[0] < 1.3 and means[-1] > 4.7


@pytest.mark.parametrize(
    "address",
    ["generated:nothing?pairs=3", "generated:answers", "generated:answers?x=1"],
)
def test_bad_addresses_are_named(address):
    with pytest.raises(ValueError, match=r"generated:nothing|generated:answers"):
        list(rows(address))
