"""Chat templates that print the date, or are not there."""

import datetime

import pytest

from inflib.data.chat_rendering import renderer
from tests.support.models import TEMPLATE, build_tokenizer
from tests.support.shaped import user

DATED = "{{ strftime_now('%d %b %Y') }}"
LLAMA = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}"
    "{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}{{ date_string }}"
)


@pytest.mark.parametrize("start", [DATED, LLAMA])
def test_the_date_of_a_run_is_the_one_it_was_prepared_on(start):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = start + TEMPLATE
    messages = [user("Q")]
    fixed = renderer(tokenizer, "2020-02-03")(messages, False)
    assert fixed.startswith("03 Feb 2020<|user|>Q")
    today = datetime.date.today().strftime("%d %b %Y")
    assert renderer(tokenizer)(messages, False).startswith(today)


def test_a_missing_template_is_told_with_the_setting():
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"set model\.chat_template"):
        renderer(tokenizer)([user("Q")], False)
