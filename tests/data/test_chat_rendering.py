"""Chats are rendered alike on any day; a missing template says what to set."""

import datetime

import pytest

from inflib.config.reward_model import ModelConfig
from inflib.data.chat_rendering import is_dated, renderer
from inflib.data.tokenizer import load_tokenizer
from inflib.storage.folder import Folder
from tests.support.models import TEMPLATE, build_tokenizer

LLAMA_3_1 = (
    "{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}"
    "{%- endif %}Today Date: {{ date_string }}\n"
) + TEMPLATE
LLAMA_3_2 = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}"
    "{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}"
    "Today Date: {{ date_string }}\n"
) + TEMPLATE
MISTRAL = "{%- set today = strftime_now('%Y-%m-%d') %}{{ today }} " + TEMPLATE
IN_A_MACRO = (
    "{%- macro head() %}{{ strftime_now('%d.%m.%Y %H:%M') }} {% endmacro %}{{ head() }}"
) + TEMPLATE
DATED = {"llama 3.2": LLAMA_3_2, "mistral": MISTRAL, "macro": IN_A_MACRO}
KEPT = {
    "llama 3.2": "Today Date: 29 Feb 2024",
    "mistral": "2024-02-29",
    "macro": "29.02.2024 00:00",
}
DATE = "2024-02-29"
CHAT = [{"role": "user", "content": "Q"}]


def rendered(template, date=None, **arguments):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    return renderer(tokenizer, date)(CHAT, True, **arguments)


@pytest.mark.parametrize("name", DATED)
def test_a_template_prints_the_date_of_the_run(name):
    assert is_dated(DATED[name])
    text = rendered(DATED[name], DATE)
    assert text.startswith(KEPT[name])
    assert rendered(DATED[name]) != text  # without one: today's date


def test_all_but_the_date_is_printed_as_ever():
    template = "\n  {% if true %}\n a {% endif %}\n{{ strftime_now('%%d %-d') }}\n"
    today = datetime.date.today()
    assert rendered(template, str(today)) == rendered(template)


def test_a_template_that_does_not_look_at_the_clock_prints_its_own_date():
    for template in (TEMPLATE, LLAMA_3_1, {"default": TEMPLATE}, None):
        assert not is_dated(template)
    # As TRL renders it: the template's own date, unless the data give one.
    assert rendered(LLAMA_3_1, DATE).startswith("Today Date: 26 Jul 2024")
    assert rendered(LLAMA_3_1, DATE, date_string="1 May").startswith(
        "Today Date: 1 May"
    )


def test_one_of_several_templates_may_print_the_date():
    several = {"default": TEMPLATE, "tool_use": MISTRAL}
    assert is_dated(several)
    tools = [{"type": "function", "function": {"name": "f"}}]
    text = rendered(several, DATE, tools=tools)
    assert text.startswith("2024-02-29")


@pytest.fixture
def without_template(tmp_path, llama_folder):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(
        (Folder(llama_folder)).read_bytes("config.json")
    )
    return str(tmp_path)


def test_a_missing_chat_template_says_what_to_set(without_template):
    tokenizer = load_tokenizer(ModelConfig(base=without_template))
    with pytest.raises(ValueError, match=r"^the tokenizer has no chat template: name "):
        renderer(tokenizer)(CHAT, True)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_chat_template_is_taken_from_a_file_or_a_text(
    as_file, without_template, tmp_path
):
    template = "Q: {{ messages[0].content }}"
    (tmp_path / "mine.jinja").write_text(template)
    setting = str(tmp_path / "mine.jinja") if as_file else template
    model = ModelConfig(base=without_template, chat_template=setting)
    assert renderer(load_tokenizer(model))(CHAT, True) == "Q: Q"


def test_a_chat_template_that_is_no_file_is_named(without_template):
    model = ModelConfig(base=without_template, chat_template="no/such.jinja")
    with pytest.raises(ValueError, match=r"^model\.chat_template no/such\.jinja: no "):
        load_tokenizer(model)
