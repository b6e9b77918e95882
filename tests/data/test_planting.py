"""Planted biases: which labels change, and that ids and seed fix the choice."""

import pytest

from inflib.config.data import PlantConfig, SourceConfig
from inflib.data.planting import plant, selected
from inflib.numerics.hash_sampling import uniform_hash

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
    labels = [plant(config, f"p{i}", -1, (9, 4), None) for i in range(5000)]
    count = sum(planted for _, planted, _ in labels)
    assert abs(count - 5000 * 0.2) < 4 * (5000 * 0.2 * 0.8) ** 0.5
    assert all(planted == flipped for _, planted, flipped in labels)

    def picks(config, sign, lengths):
        return [plant(config, f"p{i}", sign, lengths, None)[1] for i in range(99)]

    assert picks(config, 1, (4, 8)) == picks(config, -1, (9, 4))
    other_seed = PlantConfig(share=0.2, seed=4)
    assert picks(other_seed, -1, (9, 4)) != picks(config, -1, (9, 4))


def test_hashes_of_texts_never_change():
    assert uniform_hash(0, "a prompt") == 0.27945301095272423
    assert uniform_hash(1, "a prompt") == 0.5043550725428059
    assert uniform_hash(0, "a prompt.") != uniform_hash(0, "a prompt")


def test_selections_leave_ties_out():
    differences = (-2, 0, 2)
    takes = {
        select: [selected(select, d, None) for d in differences]
        for select in ("all", "chosen_shorter", "chosen_longer")
    }
    assert takes["all"] == [True, True, True]
    assert takes["chosen_shorter"] == [True, False, False]
    assert takes["chosen_longer"] == [False, False, True]
    for select, expected in (
        ("chosen_lower_rated", [True, False, False]),
        ("chosen_higher_rated", [False, False, True]),
    ):
        assert [selected(select, 7, d) for d in (-0.5, 0.0, 0.5)] == expected


def test_planting_and_selecting_by_rating_need_a_file_of_ratings():
    with pytest.raises(ValueError, match="need ratings"):
        SourceConfig(path="x.jsonl", plant=RATED)
    with pytest.raises(ValueError, match="need ratings"):
        SourceConfig(path="x.jsonl", select="chosen_lower_rated")
