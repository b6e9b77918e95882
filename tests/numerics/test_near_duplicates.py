"""Near-duplicates by MinHash: found, told from others, grouped, with their order."""

import numpy as np
import pytest

from inflib.data.min_hashes import HASHES, common_shingles, signatures
from inflib.numerics.near_duplicates import link_comparisons, link_texts

RNG = np.random.default_rng(0)
WORDS = np.array([f"w{i}" for i in range(20_000)])


def text(length=120):
    return " ".join(RNG.choice(WORDS, length))


def changed(original, words):
    """The text with some of its words replaced."""
    pieces = original.split()
    for place in RNG.choice(len(pieces), words, replace=False):
        pieces[place] = "other"
    return " ".join(pieces)


def pairs(links):
    return set(zip(links.first.tolist(), links.second.tolist(), strict=True))


def jaccard(one, other):
    """Exact similarity of the sets of three words."""
    sets = []
    for words in (one.split(), other.split()):
        sets.append({tuple(words[i : i + 3]) for i in range(len(words) - 2)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("words", [1, 3, 10])
def test_the_share_of_equal_hashes_is_the_similarity(words):
    originals = [text() for _ in range(300)]
    others = [changed(original, words) for original in originals]
    equal = (signatures(originals) == signatures(others)).mean(1)
    exact = np.array([jaccard(*each) for each in zip(originals, others, strict=True)])
    assert abs((equal - exact).mean()) < 3 * 0.5 / np.sqrt(300 * HASHES)
    assert np.abs(equal - exact).max() < 4.5 * 0.5 / np.sqrt(HASHES)


def test_near_texts_are_found_and_others_are_not():
    originals = [text() for _ in range(500)]
    near = [changed(original, 1) for original in originals[:200]]  # similarity 0.95
    far = [changed(original, 30) for original in originals[200:400]]  # below 0.5
    links = link_texts(signatures(originals + near + far))
    assert pairs(links) == {(i, 500 + i) for i in range(200)}
    assert (links.similarity > 0.8).all()
    assert len(set(links.groups(900).tolist())) == 900 - 200


def test_a_crowd_of_equal_texts_is_one_group_with_few_links():
    crowd = [text()] * 400
    links = link_texts(signatures([*crowd, text(), text()]))
    assert len(links.first) < 3 * 400  # not 400 squared
    assert sorted(np.bincount(links.groups(402)).tolist()) == [1, 1, 400]


def test_comparisons_are_linked_in_either_order_of_their_responses():
    prompts = [text(40) for _ in range(100)]
    a, b = [text() for _ in range(100)], [text() for _ in range(100)]
    near_a, near_b = [changed(x, 1) for x in a], [changed(x, 1) for x in b]
    other = [text() for _ in range(100)]
    columns = [
        signatures(prompts * 4),
        signatures(a + near_a + near_b + a),
        signatures(b + near_b + near_a + other),  # the last: one response is new
    ]
    links = link_comparisons(*columns)
    found = {
        (first, second): order
        for first, second, order in zip(
            links.first.tolist(), links.second.tolist(), links.order, strict=True
        )
    }
    assert all(found[i, 100 + i] == 1 and found[i, 200 + i] == -1 for i in range(100))
    assert max(second for _, second in found) < 300
    assert len(set(links.groups(400).tolist())) == 200


def test_responses_that_are_alike_have_no_order():
    prompt, answer = text(), text()
    both = signatures([answer, changed(answer, 1)])
    links = link_comparisons(signatures([prompt] * 2), both, both)
    assert links.order.tolist() == [0]


def test_nothing_and_one_text_have_no_near_duplicates():
    for count in (0, 1):
        none = signatures([text()] * count)
        assert pairs(link_texts(none)) == pairs(link_comparisons(none, none, none))
        assert len(link_texts(none).groups(count)) == count


def test_what_many_prompts_share_does_not_make_them_alike():
    system = text(200)
    prompts = [f"{system} {text(40)}" for _ in range(50)]
    assert len(link_texts(signatures(prompts)).first)  # as they are, they are alike
    ignored = common_shingles(prompts)
    assert not len(link_texts(signatures(prompts, ignored)).first)
    assert (signatures([system], ignored) == signatures([system])).all()
    assert common_shingles(prompts[:10]) == frozenset()  # too few to tell


def test_short_texts_and_scripts_without_spaces():
    assert (signatures(["Yes."]) != signatures(["No."])).any()
    chinese = "今天天气很好我们去公园散步然后回家吃饭看电影睡觉明天再继续工作学习"
    near = signatures([chinese, chinese[:-1] + "玩"])
    assert 0.6 < (near[0] == near[1]).mean() < 1
    assert signatures(["", " "]).shape == (2, HASHES)
