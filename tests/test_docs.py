"""Commands in the docs are commands that exist, with options that exist."""

import re
import shlex

import click
import pytest

from ray_jobs.cli import ENTRIES, Commands
from tests.support.files import ROOT

DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
OLD = {"detect_bias": "bias-study", "what_if": "what-if"}


def commands(text):
    """(command, arguments) of every line that starts a command of ours."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        match = re.match(r"(?:\s*|.*-- )(?:inflib |python -m ray_jobs\.)(\S.*)", line)
        if match and not line.lstrip().startswith("|"):
            words = shlex.split(re.sub(r"\$\w+", "1", match[1]), comments=True)
            yield OLD.get(words[0], words[0]), words[1:]


def parse(words):
    """Raises click's error for a command or an option that there is not."""
    name, arguments = words
    group = Commands("inflib")
    command = group.get_command(click.Context(group), name)
    assert command is not None, f"no command {name}"
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"no command {name}"
    command.make_context(name, [w for w in arguments if w not in ("|", "done")])


@pytest.mark.parametrize("path", [*DOCS, *RECIPES], ids=lambda path: path.name)
def test_every_command_in_a_document_can_be_parsed(path):
    for words in commands(path.read_text()):
        parse(words)


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    missing = [name for name in ENTRIES if f"inflib {name}" not in text]
    assert missing == ["demo"]  # make demo


@pytest.mark.parametrize(
    "line", ["inflib adit --run x", "    inflib audit --run x --sketch.sed 1"]
)
def test_a_wrong_command_is_seen(line):
    (words,) = commands(f"Text.\n\n{line}\n")
    with pytest.raises((AssertionError, click.NoSuchOption)):
        parse(words)


def test_commands_are_found_in_the_docs():
    names = [name for path in DOCS for name, _ in commands(path.read_text())]
    assert len(names) > 20 and {"audit", "bias-study", "benchmark"} <= set(names)
