"""Rules to the labels that they match, against plain Python."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflib.export.rules import Rule


def rule(text, query="expert"):
    return Rule(text, "--drop", query)


CASES = {
    "margin < 0": lambda r: r["margin"] is not None and r["margin"] < 0,
    "0 > margin": lambda r: r["margin"] is not None and r["margin"] < 0,
    "-1 <= margin < 0.5": lambda r: r["margin"] is not None and -1 <= r["margin"] < 0.5,
    "batch == 3 and not wrong": lambda r: r["batch"] == 3 and r["wrong"] is False,
    "wrong": lambda r: r["wrong"] is True,
    "wrong == True or batch in [1, 2]": lambda r: (
        r["wrong"] is True or r["batch"] in (1, 2)
    ),
    "batch not in [1, 2]": lambda r: (
        r["batch"] is not None and r["batch"] not in (1, 2)
    ),
    "not batch == 3": lambda r: r["batch"] is not None and r["batch"] != 3,
    "labeler == '{{ 7 * 7 }} {% raw %} ${x} #{y}'": lambda r: (
        r["labeler"] == "{{ 7 * 7 }} {% raw %} ${x} #{y}"
    ),
    "hours > batch": lambda r: (
        None not in (r["hours"], r["batch"]) and r["hours"] > r["batch"]
    ),
    "influence > 0": lambda r: (r["influence_gauss_newton_expert"] or -1) > 0,
    "rank_gauss_newton_concise <= 7": lambda r: (
        (r["rank_gauss_newton_concise"] or math.inf) <= 7
    ),
    "status != 'ok'": lambda r: r["status"] != "ok",
}


@pytest.mark.parametrize("text", CASES)
def test_rules_match_what_python_matches(scored, text):
    rows = scored.labels.to_pylist()
    expected = [bool(CASES[text](row)) for row in rows]
    assert any(expected) and not all(expected)
    assert rule(text).matches(scored).tolist() == expected


def test_a_share_is_of_the_labels_that_have_a_rank(scored):
    ranks = scored.labels["rank_gauss_newton_expert"].to_pylist()
    known = [x for x in ranks if x is not None]
    assert len(known) < len(ranks)
    matched = rule("rank <= 5%").matches(scored)
    assert matched.sum() == int(0.05 * len(known))
    assert max(ranks[i] for i in np.flatnonzero(matched)) == matched.sum()
    assert rule("note == '5%'").matches(scored).sum() == 0  # a text, not a share


def test_significant_is_what_surely_harms_the_query_set(scored):
    expected = scored.surely_harmful("concise")
    assert 0 < expected.sum() < len(expected)
    assert (rule("significant", "concise").matches(scored) == expected).all()
    both = rule("significant and margin < 0", "concise").matches(scored)
    assert 0 < both.sum() < expected.sum()
    other = rule("significant", "expert").matches(scored)
    assert (other == scored.surely_harmful("expert")).all() and (
        other != expected
    ).any()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("labler == 'dev'", "no column 'labler'; is it labeler"),
        ("margin = 0", "use ==, not =; an example"),
        ("margin < 'a'", r"compares a number \(margin\) with a text \('a'\)"),
        ("3 == labeler", r"compares a text \(labeler\) with a number \(3\)"),
        ("margin <= 5%", "5% of what"),
        ("margin", "'margin' is no condition: compare it"),
        ("1 < 2", "compares no column"),
        ("parts_gauss_newton_expert > 0", "holds lists"),
        ("__import__('os').system('x') == 0", "is no column, number or text"),
        ("margin.__class__ == 0", "is no column, number or text"),
        ("(lambda: 1)()", "is no condition"),
        ("margin < 0 if wrong else 1", "is no condition"),
        ("labeler in 'dev'", "in is followed by a list"),
        ("margin is 0", "use =="),
        ("", "not a rule"),
        ("(" * 5000, "not a rule"),
    ],
)
def test_bad_rules_are_refused_in_one_line(scored, text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        rule(text).matches(scored)
    assert str(caught.value).startswith("--drop ") and "\n" not in str(caught.value)


def test_short_names_need_a_query_set(scored):
    for text in ("significant", "rank <= 3", "influence > 0", "flip_effect < 0"):
        with pytest.raises(ValueError, match="Add --query expert or concise"):
            rule(text, None).matches(scored)


def test_a_rule_says_whose_scores_it_uses(scored):
    assert rule("rank < 3 and margin < 0").queries(scored) == {"expert"}
    assert rule("influence_datainf_concise > 0").queries(scored) == {"concise"}
    assert rule("margin < 0 and labeler == 'dev'").queries(scored) == set()
    assert rule("significant", "concise").queries(scored) == {"concise"}


TEXTS = st.recursive(
    st.sampled_from(["margin < 0", "batch == 2", "hours >= 3", "wrong", "significant"]),
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


def three_valued(text, row, significant):
    """True, False or None (a value is missing) of a rule, by SQL's logic."""

    names = {k: row[k] for k in ("margin", "batch", "hours", "wrong")}

    def atom(name, test):
        return None if names[name] is None else test(names[name])

    atoms = {
        "margin < 0": atom("margin", lambda x: x < 0),
        "batch == 2": atom("batch", lambda x: x == 2),
        "hours >= 3": atom("hours", lambda x: x >= 3),
        "wrong": names["wrong"],
        "significant": significant,
    }

    def value(text):
        if text in atoms:
            return atoms[text]
        if text.startswith("not ("):
            inner = value(text[5:-1])
            return None if inner is None else not inner
        depths = list(itertools.accumulate((c == "(") - (c == ")") for c in text))
        end = depths.index(0)
        left, rest = value(text[1:end]), text[end + 1 :].strip()
        word, _, right = rest.partition(" ")
        right = value(right[1:-1])
        decided = word == "or"
        if decided in (left, right):
            return decided
        return None if None in (left, right) else not decided

    return value(text)


@given(text=TEXTS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_missing_values_match_nothing_whatever_stands_around_them(scored, text):
    sure = scored.surely_harmful("concise").tolist()
    rows = scored.labels.select(["margin", "batch", "hours", "wrong"]).to_pylist()
    pairs = zip(rows, sure, strict=True)
    expected = [three_valued(text, row, x) is True for row, x in pairs]
    assert rule(text, "concise").matches(scored).tolist() == expected
