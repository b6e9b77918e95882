"""Tables and numbers in the terminal; texts of the data do nothing there."""

import io

import pytest
from rich.console import Console

from inflib.report.console import show
from inflib.report.study_console import show_explanation
from inflib.report.tables import say, table, with_interval

EVIL = "[red]ana[/red]\x1b[31m\x9b2J\u202e"


def printed(*shown):
    out = io.StringIO()
    console = Console(file=out, width=200)
    for item in shown:
        console.print(item)
    return out.getvalue()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.01234, -0.0041, 0.02871), "0.012 (-0.004 to 0.029)"),
        ((-1e-9, -0.02, 0.02), "0.000 (-0.020 to 0.020)"),
        ((-2e-9, -5e-9, 1e-9), "-2.00e-09 (-5.00e-09 to 1.00e-09)"),
        ((123456.0, 120000.0, 126912.0), "123500 (120000 to 126900)"),
        ((-0.0, -0.0, -0.0), "0 (0 to 0)"),
        ((-0.0, None, None), "0"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_gives_a_meaning(values, text):
    assert with_interval(*values) == text


def test_names_titles_and_cells_are_shown_as_they_are_and_do_nothing():
    text = printed(table([{EVIL: EVIL, "n": -0.0}], EVIL))
    assert text.count("[red]ana[/red]") == 3
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert " 0 " in text and "-0" not in text
    out = io.StringIO()
    say(Console(file=out, width=200), EVIL)
    assert out.getvalue().strip() == "[red]ana[/red]"


def test_an_explanation_of_an_evil_label_is_plain():
    row = {"role": "harmful", "rank": 1, "pair_id": EVIL, "comparison_id": "c"}
    row |= {"influence": 1.0, "cosine": 0.5}
    out = io.StringIO()
    console = Console(file=out, width=200)
    show_explanation(EVIL, [row], {"c": {"prompt": EVIL}}, console)
    assert out.getvalue().count("[red]ana[/red]") == 3
    assert not {"\x1b", "\x9b", "\u202e"} & set(out.getvalue())


def summary(rows, differ=3, few=0, notes=()):
    """A report's summary with these rows of labelers."""
    query = {
        "verdict": {"status": "doubtful", "reasons": ["it is small"]},
        "harmful_share": 0.5,
        "distinguishable_from_zero": differ,
        "surely_harmful": None if differ is None else 1,
        "damping": {},
        "top": [],
        "groups": {"labeler": rows},
        "spread": {"labeler": {"sd": 0.2, "low": 0.1, "high": 0.3}},
    }
    return {
        "labels": 9,
        "comparisons": 9,
        "accuracy": {"train": 0.6},
        "not_counted": {},
        "excluded": {},
        "data": ["3 of 4 labels are odd"],
        "notes": list(notes),
        "curvature": "identity",
        "min_labels": 10,
        "fdr": 0.1,
        "small_groups": {"labeler": {"groups": few, "labels": few}},
        "preferences": {"labeler": {row["name"]: {} for row in rows}},
        "quality": {"labeler": {row["name"]: row["quality"] for row in rows}},
        "queries": {"q": query},
        "stages": {},
    }


def report(**facts):
    out = io.StringIO()
    show(summary(**facts), Console(file=out, width=200))
    return out.getvalue()


def group(name, **changes):
    row = {"name": name, "labels": 40, "shrunk": 0.1, "low": 0.05, "high": 0.15}
    row["quality"] = {"error_rate": None, "given_quality": None}
    return row | {"harmful": True, "suspicious": True, "because": "harm"} | changes


def test_the_verdict_stands_before_the_scores():
    text = report(rows=[group("ana")])
    verdict = text.index('with doubts for "q": it is small')
    assert verdict < text.index("Query set q: doubtful") < text.index("are harmful")


def test_groups_of_few_labels_are_counted_behind_the_table():
    text = report(rows=[group(EVIL)] * 22, few=3512)
    assert "and 2 more, and 3,512 with fewer than 10 labels (report.min_labels)" in text
    assert "0.100 (0.050 to 0.150) *" in text and "shrunk" in text
    assert "from labeler to labeler by 0.20 (0.10 to 0.30), s.d." in text
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert "none is listed; 64 with fewer than 10 labels" in report(rows=[], few=64)
    assert "all labels have the same" in report(rows=[])


def test_error_rates_and_preferences_given_quality_are_listed_where_known():
    assert "errs" not in report(rows=[group("ana")])
    weight = {"weight": 1.2, "low": 0.8, "high": 1.6, "unusual": True}
    rates = {"error_rate": 0.21, "error_low": 0.12, "error_high": 0.3}
    quality = {**rates, "given_quality": {"longer": weight}}
    text = report(rows=[group("ana", quality=quality)])
    assert "errs" in text and "21.0% (12.0% to 30.0%)" in text
    assert "longer, given quality" in text and "1.20 (0.80 to 1.60) *" in text


def test_what_cannot_be_estimated_and_what_is_missing_is_said():
    text = report(rows=[group("a", low=None, high=None)], differ=None, notes=["[b]no"])
    assert "cannot be estimated: fewer than two query groups" in text
    assert "[b]no" in text
