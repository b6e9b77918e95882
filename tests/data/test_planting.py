"""Planted biases: which labels change, and that the choice is fixed."""

import pytest

from inflib.config.data import PlantConfig, SourceConfig
from inflib.data.hash_sampling import unit_hash
from inflib.data.planting import plant, selected

ALL = PlantConfig(share=1)
RATED = PlantConfig(kind="higher_rated_chosen", share=1, max_difference=1.5)


def test_a_picked_label_prefers_the_longer_response_whatever_it_was():
    assert plant(ALL, "p", 1, (9, 4), None) == (1, True, False)  # already so
    assert plant(ALL, "p", -1, (9, 4), None) == (-1 * -1, True, True)
    assert plant(ALL, "p", 1, (4, 9), None) == (-1, True, True)
    assert plant(ALL, "p", 1, (5, 5), None) == (1, True, False)  # tie


def test_a_picked_label_prefers_the_slightly_higher_rated_response():
    assert plant(RATED, "p", 1, (9, 4), (2.0, 3.0)) == (-1, True, True)
    assert plant(RATED, "p", -1, (9, 4), (2.0, 3.0)) == (-1, True, False)
    assert plant(RATED, "p", 1, (9, 4), (2.0, 2.0)) == (1, True, False)  # tie
    assert plant(RATED, "p", 1, (9, 4), (1.5, 3.0)) == (1, True, False)  # too far
    free = RATED.model_copy(update={"max_difference": None})
    assert plant(free, "p", 1, (9, 4), (1.5, 3.0)) == (-1, True, True)


def test_the_share_is_met_and_the_pick_depends_on_seed_and_id_alone():
    config = PlantConfig(share=0.2, seed=3)
    found = [plant(config, f"p{i}", -1, (9, 4), None) for i in range(5000)]
    assert abs(sum(planted for _, planted, _ in found) / 5000 - 0.2) < 0.02
    assert all(planted == flipped for _, planted, flipped in found)
    other = [
        plant(PlantConfig(share=0.2, seed=4), f"p{i}", -1, (9, 4), None)
        for i in range(99)
    ]
    assert other != found[:99]
    assert unit_hash(0, "a prompt") == unit_hash(0, "a prompt") != unit_hash(1, "")


def test_selections_leave_ties_out():
    differences = (-2, 0, 2)
    chosen = {
        select: [selected(select, d, None) for d in differences]
        for select in ("all", "chosen_shorter", "chosen_longer")
    }
    assert chosen["all"] == [True, True, True]
    assert chosen["chosen_shorter"] == [True, False, False]
    assert chosen["chosen_longer"] == [False, False, True]
    for select, expected in (
        ("chosen_lower_rated", [True, False, False]),
        ("chosen_higher_rated", [False, False, True]),
    ):
        found = [selected(select, 7, d) for d in (-0.5, 0.0, 0.5)]
        assert found == expected


def test_ratings_are_asked_for_where_they_are_needed():
    with pytest.raises(ValueError, match="need ratings"):
        SourceConfig(path="x.jsonl", plant=RATED)
    with pytest.raises(ValueError, match="need ratings"):
        SourceConfig(path="x.jsonl", select="chosen_lower_rated")
