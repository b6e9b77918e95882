"""Texts of the data in terminals, on pages and in spreadsheets."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflib.storage.plain_text import (
    csv_cell,
    csv_text,
    printable,
    shorten,
    without_credentials,
)
from tests.support.files import ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mana\x1b[0m", "ana"),
        ("\x9b31mana", "ana"),
        ("\x1b]0;title\x07ana", "ana"),
        ("\x1b]8;;http://x\x1b\\ana\x1b]8;;\x1b\\", "ana"),
        ("\x1b]52;c;aGk=", "52;c;aGk="),  # never ended: the rest is not swallowed
        ("\x1bcana", "ana"),
        ("a\rb\x00c\x85d", "a b c d"),
        ("\u202eana\u2066", " ana "),
        ("lone \ud800", "lone  "),
        ("👩‍🔬 نمی‌دانم é", "👩‍🔬 نمی‌دانم é"),
        ("[red]x[/red]", "[red]x[/red]"),
    ],
)
def test_what_terminals_act_on_is_taken_out(text, shown):
    assert printable(text) == shown


def test_urls_are_shown_without_passwords():
    text = 'no answer of "http://user:Hush@proxy:80/x@y", https://a:H@ush@b, mail a@b'
    shown = 'no answer of "http://***@proxy:80/x@y", https://***@b, mail a@b'
    assert without_credentials(text) == shown


@given(st.text())
def test_nothing_but_printed_characters_is_left(text):
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", printable(text)
    )
    assert len(shorten(text, 12)) <= 12


def test_lines_stay_where_they_are_asked_for():
    assert printable("a\n\tb\x1b[2J", lines=True) == "a\n\tb"


@pytest.mark.parametrize(
    "text", ["@SUM(1)", "=1+1", "+1", "-1", "\t=1", "\r", "\uff1d1"]
)
def test_formulas_are_written_as_text(text):
    assert csv_text(["name"], [[text]]).splitlines(True)[1].lstrip('"')[0] == "'"


def test_numbers_stay_numbers():
    assert csv_text(["n"], [[-1.5], [None], [True]]) == 'n\r\n-1.5\r\n""\r\nTrue\r\n'


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_texts_come_back_from_a_csv_file(text):
    written = csv_text(["x", "y"], [[text, "z"], ["'" + text, "z"]])
    rows = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert [csv_cell(row[0]) for row in rows] == [text, "'" + text]


def test_there_is_one_writer_of_csv_files():
    sources = [p for top in ("inflib", "ray_jobs") for p in (ROOT / top).rglob("*.py")]
    sources += (ROOT / "scripts").glob("*.py")
    writing = [
        p.name for p in sources if re.search(r"csv\.(Dict)?[wW]rit", p.read_text())
    ]
    assert writing == ["plain_text.py"]
