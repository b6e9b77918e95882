"""Planted length bias and query sets by purpose."""

from inflib.bias import plant, selected, unit_hash
from inflib.config_data import PlantConfig

ALL = PlantConfig(share=1.0)


def test_the_longer_response_becomes_the_chosen_one():
    assert plant(ALL, "p", 1, 9, 4) == (1, True, False)  # already so
    assert plant(ALL, "p", -1, 9, 4) == (1, True, True)
    assert plant(ALL, "p", 1, 4, 9) == (-1, True, True)
    assert plant(ALL, "p", 1, 5, 5) == (1, True, False)  # tie


def test_about_the_asked_share_is_planted_and_the_rest_untouched():
    config = PlantConfig(share=0.2, seed=3)
    found = [plant(config, f"p{i}", -1, 9, 4) for i in range(5000)]
    planted = sum(p for _, p, _ in found)
    assert abs(planted - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5
    assert all((sign, flip) == (-1, False) for sign, p, flip in found if not p)
    again = [
        plant(PlantConfig(share=0.2, seed=4), f"p{i}", -1, 9, 4) for i in range(99)
    ]
    assert again != found[:99]


def test_query_sets_leave_ties_out():
    differences = [-3, 0, 5]
    assert [selected("all", d) for d in differences] == [True, True, True]
    assert [selected("chosen_shorter", d) for d in differences] == [True, False, False]
    assert [selected("chosen_longer", d) for d in differences] == [False, False, True]


def test_the_hash_is_the_same_everywhere():
    assert unit_hash(0, "prompt") == 0.6234186289004778
    assert 0 <= unit_hash(1, "prompt") < 1 != unit_hash(0, "prompt")
