"""Planted length bias and query sets by purpose."""

from inflib.bias import plant, selected, unit_hash
from inflib.config_data import PlantConfig

ALL = PlantConfig(share=1.0)


def outcome(*arguments):
    found = plant(*arguments)
    return found.sign, found.columns["planted"], found.columns["planted_flip"]


def test_the_longer_response_becomes_the_chosen_one():
    assert outcome(ALL, "p", 1, 9, 4) == (1, True, False)  # already so
    assert outcome(ALL, "p", -1, 9, 4) == (1, True, True)
    assert outcome(ALL, "p", 1, 4, 9) == (-1, True, True)
    assert outcome(ALL, "p", 1, 5, 5) == (1, True, False)  # tie


def test_about_the_asked_share_is_planted_and_the_rest_untouched():
    config = PlantConfig(share=0.2, seed=3)
    found = [outcome(config, f"p{i}", -1, 9, 4) for i in range(5000)]
    planted = sum(p for _, p, _ in found)
    assert abs(planted - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5
    assert all((sign, flip) == (-1, False) for sign, p, flip in found if not p)
    again = [
        outcome(PlantConfig(share=0.2, seed=4), f"p{i}", -1, 9, 4) for i in range(99)
    ]
    assert again != found[:99]


def test_five_of_twenty_labelers_are_biased_each_in_its_way():
    config = PlantConfig(kind="labelers", seed=1)
    rows: dict[str, list] = {}
    for i in range(40_000):
        sign = 1 if i % 2 else -1
        longer = 1 if i % 4 < 2 else -1
        found = plant(config, f"p{i}", sign, 5 + longer, 5)
        about = found.columns
        assert about["planted_flip"] == (found.sign != sign)
        outcomes = found.sign == sign, found.sign == longer, about["chosen_first"]
        rows.setdefault(about["labeler"], []).append(outcomes)
    assert len(rows) == 20
    right, long, first = (
        {name: sum(r[k] for r in own) / len(own) for name, own in rows.items()}
        for k in range(3)
    )
    shares = {
        "labeler-00": (0.6, 0.9, 0.5),
        "labeler-01": (0.8, 0.7, 0.5),
        "labeler-02": (0.6, 0.5, 0.5),
        "labeler-03": (0.6, 0.5, 0.5),
        "labeler-04": (0.6, 0.5, 0.9),
    }
    for name in rows:
        expected = shares.get(name, (1.0, 0.5, 0.5))
        for share, wanted in zip((right, long, first), expected, strict=True):
            assert abs(share[name] - wanted) < 4 * (0.25 / len(rows[name])) ** 0.5


def test_query_sets_leave_ties_out():
    differences = [-3, 0, 5]
    assert [selected("all", d) for d in differences] == [True, True, True]
    assert [selected("chosen_shorter", d) for d in differences] == [True, False, False]
    assert [selected("chosen_longer", d) for d in differences] == [False, False, True]


def test_the_hash_is_the_same_everywhere():
    assert unit_hash(0, "prompt") == 0.6234186289004778
    assert 0 <= unit_hash(1, "prompt") < 1 != unit_hash(0, "prompt")
