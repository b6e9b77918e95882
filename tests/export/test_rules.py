"""Rules: which labels they match, and what is said of wrong ones."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflib.audited_run import AuditedRun
from inflib.export.rule_columns import RuleColumns
from inflib.export.rules import matching

LABELER = ["ana", "dev", None, "dev", "ana", "o'neil"]
MARGIN = [1.5, -0.5, 0.25, math.nan, -2.0, None]
RANK = [3, 1, 2, None, 4, 5]
WRONG = [True, False, None, True, False, False]
TABLE = pa.table(
    {
        "pair_id": [f"p{i}" for i in range(6)],
        "labeler": LABELER,
        "margin": MARGIN,
        "wrong": WRONG,
        "my column": [1, 2, 3, 4, 5, 2**60 + 1],
        "rank_gauss_newton_expert": pa.array(RANK, pa.int32()),
        "influence_gauss_newton_expert": [0.1, 0.3, 0.2, None, -0.1, -0.2],
        "parts_gauss_newton_expert": [[0.0]] * 6,
    }
)


class Labels(AuditedRun):
    """A run of which only the labels are there."""

    labels = TABLE
    queries = ["expert", "safety"]  # noqa: RUF012

    def __init__(self, labels=TABLE):
        self.labels = labels

    def score(self, query, curvature=None):
        return f"gauss_newton_{query}"

    def surely_harmful(self, query):
        return np.array([0, 1, 0, 0, 0, 0], bool)


RUN = Labels()


def found(rule, query="expert", run=RUN):
    columns = RuleColumns(run, query)
    return np.flatnonzero(matching(rule, "--flip", columns)).tolist()


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("labeler == 'dev' and margin < 0", [1]),
        ("labeler == 'dev' or margin < 0", [1, 3, 4]),
        ('labeler == "o\'neil"', [5]),
        ("labeler in ['ana', 'dev']", [0, 1, 3, 4]),
        ("labeler not in ['ana']", [1, 3, 5]),
        ("margin in (1.5, -2)", [0]),
        ("-2 <= margin < 0.3", [1, 2, 4]),
        ("0 > margin", [1, 4]),
        ("rank <= 2", [1, 2]),
        ("rank <= 20%", [1]),
        ("rank_gauss_newton_expert <= 40 %", [1, 2]),
        ("significant", [1]),
        ("significant or wrong", [0, 1, 3]),
        ("not wrong", [1, 4, 5]),
        ("wrong == False", [1, 4, 5]),
        ("col('my column') == 1152921504606846977", [5]),
        ("influence > 0 and not (margin > 0)", [1]),
        ("labeler == '50% off'", []),
        (" (margin\n< 0) ", [1, 4]),
    ],
)
def test_rules_match(rule, rows):
    if rule == "margin in (1.5, -2)":
        rows = [0, 4]
    assert found(rule) == rows


@pytest.mark.parametrize(
    "rule", ["margin < 0", "labeler == 'dev'", "wrong", "margin in [1.5]"]
)
def test_missing_values_match_neither_a_rule_nor_its_opposite(rule):
    both = found(rule) + found(f"not ({rule})")
    assert len(set(both)) == len(both) < len(TABLE)
    column = rule.split()[0]
    missing = [
        i
        for i, x in enumerate(TABLE[column].to_pylist())
        if x is None or (isinstance(x, float) and math.isnan(x))
    ]
    assert not set(both) & set(missing)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("labelr == 'dev'", "no column 'labelr'; did you mean labeler"),
        ("labeler == 1", "labeler is compared with 1; it takes a text in quotes"),
        ("margin == 'x'", "margin is compared with 'x'; it takes a number"),
        ("margin == labeler", "which holds"),
        ("margin", "margin is compared with nothing"),
        ("margin <= 1%", "compare it with rank"),
        ("1 < 2", "two constants"),
        ("margin = 1", "== compares, = does not"),
        ("margin is 3", "compares by is"),
        ("margin == None", "never matches missing values"),
        ("margin in 3", "in takes a list"),
        ("labeler in [1]", "each value must be a text in quotes"),
        ("__import__('os').system('true')", "is not allowed"),
        ("labeler.upper() == 'DEV'", "is not allowed"),
        ("col(labeler) == 'x'", "is not allowed"),
        ("(lambda: margin)() < 0", "is not allowed"),
        ("margin + 1 < 0", "is not allowed"),
        ("f'{margin}' == 'a'", "is not allowed"),
        ("[x for x in labeler] == 1", "is not allowed"),
        ("parts_gauss_newton_expert > 0", "no rule can compare"),
        ("wrong > True", "true or false, not >"),
        ("margin <", "cannot be read"),
        ("'open", "cannot be read"),
        ("", "is empty"),
        ("not " * 5000 + "wrong", "more than 10000 characters"),
        ("(" * 4000 + "wrong" + ")" * 4000, "cannot be read"),
        ("not " * 2000 + "wrong", "levels"),
        ("rank <= 1", "add --query, one of expert, safety"),
    ],
)
def test_wrong_rules_are_told_with_the_option(rule, said):
    query = None if "--query" in said else "expert"
    with pytest.raises(ValueError) as error:
        found(rule, query)
    assert str(error.value).startswith("--flip") and said in str(error.value)


def test_a_short_name_that_is_a_column_of_the_data_must_be_told_apart():
    run = Labels(TABLE.append_column("rank", pa.array([9] * 6)))
    with pytest.raises(ValueError, match=r"write col\('rank'\)"):
        found("rank <= 1", run=run)
    assert len(found("col('rank') == 9", run=run)) == 6


def test_query_sets_whose_scores_are_used_are_remembered():
    for rule, used in [("rank <= 1", {"expert"}), ("margin < 0", set())]:
        columns = RuleColumns(RUN, "expert")
        matching(rule, "--flip", columns)
        assert columns.used == used
    with pytest.raises(ValueError, match="did you mean expert"):
        RuleColumns(RUN, "exprt")


NAMES = st.sampled_from(
    ["margin", "rank", "labeler", "wrong", "significant", "nothing"]
)
CONSTANTS = st.sampled_from(["0", "-1.5", "'dev'", "1%", "True", "None", "['dev']"])
RULES = st.recursive(
    st.tuples(NAMES, st.sampled_from(["<", "==", "in", "is", "="]), CONSTANTS).map(
        " ".join
    )
    | NAMES,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join)
        | inner.map(lambda rule: f"not ({rule})")
    ),
    max_leaves=4,
)


@given(RULES | st.text(max_size=30))
def test_any_text_is_a_rule_or_told_in_one_line(rule):
    try:
        rows = found(rule)
    except ValueError as error:
        assert str(error).startswith("--flip")
    else:
        assert set(rows) <= set(range(6))
