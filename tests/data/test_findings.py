"""The data report in words: what is unusual is said, what is not is left out."""

from inflib.data.findings import findings

USUAL = {
    "labels": 200,
    "comparisons": 150,
    "prompts_cut": 0,
    "share_longer_chosen": 0.55,
    "several_labels": 40,
    "contradicted": 0,
    "near_duplicates": {"comparisons": 0, "groups": 0, "opposite": 0},
    "same_tokens": 0,
    "labels_by_group": {},
}


def test_nothing_unusual_is_nothing_to_say():
    assert findings("train", USUAL) == []
    old = {name: USUAL[name] for name in ("labels", "comparisons", "prompts_cut")}
    assert findings("q", old | {"share_longer_chosen": None}) == []  # older reports


def test_what_is_unusual_is_counted_with_its_share():
    unusual = USUAL | {
        "prompts_cut": 50,
        "share_longer_chosen": 0.82,
        "contradicted": 4,
        "same_tokens": 3,
        "near_duplicates": {"comparisons": 30, "groups": 10, "opposite": 2},
        "also_in_train": 1,
        "near_in_train": 20,
        "prompts_near_train": 60,
        "too_long": {"labels": 300, "length_for_95%": 2048},
        "length_quantiles": {"median": 100, "95%": 900, "longest": 1024},
        "labels_by_group": {
            "labeler": {
                "groups": 3708,
                "fewest": 1,
                "median": 3,
                "most": 5000,
                "few": 3512,
            }
        },
    }
    text = "\n".join(findings("q", unusual))
    assert "1 comparisons of q are training comparisons" in text
    assert "20 of 200 (10.0%) labels of q are on near-duplicates of training" in text
    assert "60 of 200 (30.0%) labels of q are on training prompts" in text
    assert "40 comparisons of q have several labels; on 4 of them" in text
    assert "30 of 150 (20.0%) comparisons of q are near-duplicates" in text
    assert "10 groups, 2 of them with opposite labels" in text
    assert "3 of 150 (2.0%) comparisons of q have the same tokens" in text
    assert "50 of 200 (25.0%) labels of q have a prompt that was cut" in text
    assert "300 of 500 (60.0%) labels of q are left out" in text
    assert "2,048 tokens would keep 95%" in text
    assert "the longer response is chosen in 82% of q" in text
    assert "half of the labels have up to 100, 95% up to 900, the longest 1,024" in text
    assert "3,708 labelers with 1 to 5,000 labels each, median 3; 3,512 have" in text


def test_a_few_near_duplicates_are_said_only_where_labels_contradict():
    few = {"comparisons": 1, "groups": 1, "opposite": 0}
    assert findings("train", USUAL | {"near_duplicates": few}) == []
    told = findings("train", USUAL | {"near_duplicates": few | {"opposite": 1}})
    assert "1 of 150 (0.7%)" in told[0]
