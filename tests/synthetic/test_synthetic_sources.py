"""Generated sources: the same rows wherever they are read, and what is in them."""

import pytest

from inflib.files.paths import find_files, fingerprint
from inflib.files.raw_rows import RawRow
from inflib.files.readers import read_rows
from inflib.synthetic.sources import rows
from inflib.synthetic.topics import FLATTERY

ADDRESS = "generated:flattery?pairs=300&seed=4"


def test_rows_are_fixed_by_the_address():
    pairs = list(rows(ADDRESS))
    assert pairs == list(rows(ADDRESS))
    assert pairs[:20] == list(rows("generated:flattery?pairs=20&seed=4"))
    assert pairs != list(rows("generated:flattery?pairs=300&seed=5"))
    assert len({row["pair_id"] for row in pairs}) == 300


def test_readers_take_them_as_files():
    assert find_files(ADDRESS) == [ADDRESS] and fingerprint(ADDRESS) == ""
    first = next(iter(read_rows(ADDRESS)))
    assert first == RawRow(ADDRESS, 1, next(rows(ADDRESS)))


def level_of(response):
    """Level of flattery of a response, by the phrases around it."""
    return max(
        level
        for level, phrases in FLATTERY.items()
        for before, after in phrases
        if response.startswith(before) and response.endswith(after)
    )


def test_ratings_are_the_levels_of_the_phrases_or_one_off():
    pairs = {row["pair_id"]: row for row in rows(ADDRESS)}
    ratings = list(rows("generated:flattery_ratings?pairs=300&seed=4"))
    assert len(ratings) == 600  # by two judges
    slips, expected = 0, 0.0
    for rating in ratings:
        for side in ("chosen", "rejected"):
            level = level_of(pairs[rating["pair_id"]][side])
            assert abs(rating[side] - level) <= 1 <= rating[side] <= 5
            slips += rating[side] != level
            # One in 25, half of them up; at either end only half of them can be seen.
            expected += 0.02 if level in (1, 5) else 0.04
    assert abs(slips - expected) < 4 * expected**0.5


@pytest.mark.parametrize(
    "address",
    ["generated:nothing?pairs=3", "generated:answers", "generated:answers?x=1"],
)
def test_bad_addresses_are_named(address):
    with pytest.raises(ValueError, match=r"generated:nothing|generated:answers"):
        list(rows(address))
