"""The verdict on a query set: its reasons, and that chance does not pass."""

import numpy as np
import pytest

from inflib.report.trust import (
    DOUBTFUL,
    NOT_USABLE,
    TRUSTED,
    Accuracy,
    accuracy,
    in_words,
    norm_share,
    verdict,
)

GOOD = Accuracy(0.8, 0.75, 0.85, 400)


def found(query=GOOD, train=GOOD, scale=1.0, reliable=True, norms=0.1, leaked=0.0):
    return verdict(query, train, scale, reliable, norms, leaked)


def labels(rng, share, prompts, most):
    """(right, prompt) of labels on prompts with 1 to `most` labels each, which differ
    in how easy they are."""
    sizes = rng.integers(1, most + 1, prompts)
    easy = rng.beta(4 * share, 4 * (1 - share), prompts)
    prompt = np.repeat(np.arange(prompts), sizes)
    return (rng.random(len(prompt)) < easy[prompt]).astype(float), prompt


@pytest.mark.parametrize(("prompts", "most"), [(40, 1), (60, 20), (400, 3)])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_intervals_cover_the_accuracy_of_clustered_labels(share, prompts, most):
    rng = np.random.default_rng(0)
    covered, trusted = [], []
    for _ in range(400):
        known = accuracy(*labels(rng, share, prompts, most))
        covered.append(known.low <= share <= known.high)
        trusted.append(found(query=known)["status"] != NOT_USABLE)
    assert 0.92 < np.mean(covered) < 0.99
    if share == 0.5:
        assert np.mean(trusted) < 0.06  # one tail of a 95% interval
    elif prompts > 40:
        assert np.mean(trusted) > 0.95


def test_every_fact_that_is_amiss_is_a_reason():
    assert found() == {"status": TRUSTED, "reasons": []}
    chance = Accuracy(0.52, 0.48, 0.56, 600)
    bad = found(query=chance)
    assert bad["status"] == NOT_USABLE
    assert bad["reasons"] == [
        "the reward model is at chance there (0.52, 0.48 to 0.56)"
    ]
    unlearned = found(train=chance)
    assert unlearned["status"] == NOT_USABLE and "epochs" in unlearned["reasons"][0]
    for changed, said in (
        ({"query": Accuracy(0.75, 0.6, 0.87, 40)}, "120 more query labels"),
        ({"scale": 0.2}, "0.20 times as large"),
        ({"reliable": False}, "score.reliability"),
        ({"norms": 0.8}, "80% of the ranking"),
        ({"leaked": 0.5}, "50% of its comparisons"),
    ):
        doubtful = found(**changed)
        assert doubtful["status"] == DOUBTFUL and said in doubtful["reasons"][0]


def test_one_prompt_has_no_interval():
    assert accuracy(np.ones(50), np.zeros(50)) == Accuracy(1.0, 0.0, 1.0, 50)
    assert accuracy(np.array([]), np.array([])).is_chance


def test_the_verdict_in_words():
    chance = found(query=Accuracy(0.52, 0.48, 0.56, 600))
    assert in_words({"concise": found(), "full": chance}) == (
        'This audit can be acted on for "concise"; not for "full": the reward model is '
        "at chance there (0.52, 0.48 to 0.56)."
    )
    assert in_words({"full": chance}).startswith("This audit cannot be acted on for")


def test_the_share_that_norms_explain():
    rng = np.random.default_rng(0)
    norms = rng.random(2000)
    assert norm_share(norms * 3, norms) == pytest.approx(1)
    assert norm_share(norms * rng.choice([-1, 1], 2000), norms) < 0.05
    assert norm_share(np.zeros(10), norms[:10]) == 0
