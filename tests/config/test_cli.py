"""The command line: every field is an option, wrong input one line, help short."""

import json
import subprocess
import sys

import click
import pytest
import yaml
from click.shell_completion import BashComplete

from inflib.config.cli import FIRST, RecipeCommand, load, run_command
from inflib.config.loading import read_recipe
from inflib.config.run_config import bind
from ray_jobs.cli import ENTRIES, Commands, command

RECIPE = {
    "run": "r",
    "prepare": {"train": {"path": "a"}, "queries": {"q": {"path": "b"}}},
    "model": {"base": "m"},
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return str(path)


def parsed(config, *arguments):
    """The recipe that a command gets, and its own parameters."""
    calls = []

    def job(recipe, **parameters):
        calls.append((recipe, parameters))

    argument = click.Argument(["file"], required=False)
    test = RecipeCommand("test", "Doc.", job, parameters=[argument])
    test.main(["--config", config, *arguments], standalone_mode=False)
    return calls[0]


def failed(capsys, *arguments, name="audit"):
    """(exit code, the one line that is printed) of a command."""
    with pytest.raises(SystemExit) as stopped:
        run_command(command(name), "inflib", list(arguments))
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return stopped.value.code, captured.err.strip()


OPTIONS = {
    "number": (["--train.epochs", "2"], "train.epochs", 2.0),
    "equals": (["--train.epochs=2"], "train.epochs", 2.0),
    "the last one counts": (
        ["--sketch.seed", "1", "--sketch.seed=2"],
        "sketch.seed",
        2,
    ),
    "text that is a number": (["--model.revision", "12345"], "model.revision", "12345"),
    "text that starts with -": (["--model.adapter", "-x"], "model.adapter", "-x"),
    "text that starts with @": (["--explain.pairs", "@f"], "explain.pairs", ("@f",)),
    "a pattern": (["--prepare.train.path", "*.gz"], "prepare.train.path", "*.gz"),
    "null": (["--model.adapter", "null"], "model.adapter", None),
    "commas": (["--score.damping", "0.1,1"], "score.damping", (0.1, 1.0)),
    "repeated": (
        ["--score.damping", "0.1", "--score.damping", "1"],
        "score.damping",
        (0.1, 1.0),
    ),
    "commas and blanks": (["--explain.pairs", "a, b"], "explain.pairs", ("a", "b")),
    "list": (["--score.damping", "[0.1, 1]"], "score.damping", (0.1, 1.0)),
    "one of a list": (["--score.damping", "0.5"], "score.damping", (0.5,)),
    "boolean": (["--sketch.by_layer", "true"], "sketch.by_layer", True),
    "mapping": (
        ["--bias.ablate", "{sketch.sketch_size: [1024, 4096]}"],
        "bias.ablate",
        {"sketch.sketch_size": (1024, 4096)},
    ),
    "a section that the file lacks": (
        ["--judge.base_url", "http://h/v1", "--judge.model", "M"],
        "judge.model",
        "M",
    ),
    "a new query set": (
        ["--prepare.queries.new.path", "c", "--prepare.queries.new.part", "0,0.5"],
        "prepare.queries.new.part",
        (0.0, 0.5),
    ),
    "a query set of the file": (
        ["--prepare.queries.q.select", "chosen_longer"],
        "prepare.queries.q.path",
        "b",
    ),
    "a nested section": (
        ["--prepare.train.plant.share", "0.5"],
        "prepare.train.plant.share",
        0.5,
    ),
}


def field(recipe, path):
    value = recipe
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@pytest.mark.parametrize("name", OPTIONS)
def test_every_field_is_an_option(config, name):
    arguments, path, expected = OPTIONS[name]
    recipe, _ = parsed(config, *arguments)
    assert field(recipe, path) == expected
    assert recipe.prepare.queries["q"].path == "b"  # nothing of the file is lost


@pytest.mark.parametrize("place", [0, 1, 2])
def test_arguments_and_options_come_in_any_order(config, place):
    arguments = ["--sketch.seed=3", "--run=elsewhere"]
    arguments.insert(place, "file.csv")
    recipe, parameters = parsed(config, *arguments)
    assert recipe.sketch.seed == 3 and recipe.run.endswith("/elsewhere")
    assert parameters == {"file": "file.csv"}


WRONG = {
    "misspelt": (
        ["--sketch.sed", "3"],
        "--sketch.sed: no such option; did you mean --sketch.seed?",
    ),
    "misspelt in a query set": (
        ["--prepare.queries.q.pth", "x"],
        "--prepare.queries.q.pth: no such option; did you mean "
        "--prepare.queries.q.path?",
    ),
    "type": (["--train.epochs", "two"], "--train.epochs: Input should be a valid nu"),
    "choice": (["--train.schedule", "linar"], "--train.schedule: Input should be 'lin"),
    "missing in a new set": (
        ["--prepare.queries.new.part", "0,1"],
        "prepare.queries.new.path: Field required",
    ),
    "no value": (["--sketch.seed"], "Option '--sketch.seed' requires an argument."),
    "an option for a value": (
        ["--sketch.seed", "--run", "r"],
        "'--sketch.seed': needs a value, and --run is an option",
    ),
    "a flag": (["--train.bf16", "--run", "r"], "needs a value (true|false), and --run"),
    "a name in the help": (
        ["--prepare.queries.NAME.path", "x"],
        "write the set's own name in place of NAME",
    ),
    "a misspelt field of the file": (["--train", "{epoch: 2}"], "--train: no such opt"),
    "broken list": (["--score.damping", "[1"], "not a list or mapping: [1"),
    "stray": (["x.yaml"], "a recipe is given as --config RECIPE.yaml"),
    "together": (["--train.batch_size", "10"], "batch_size 10 must be a multiple of"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_told_in_one_line(config, name, capsys):
    arguments, text = WRONG[name]
    code, line = failed(capsys, "--config", config, *arguments)
    assert code == 2 and text in line


def test_a_recipe_that_is_not_there_is_named(tmp_path, capsys):
    assert failed(capsys) == (
        2,
        "error: give --config RECIPE.yaml, or --run PATH of an existing run",
    )
    assert "holds no run" in failed(capsys, "--run", str(tmp_path))[1]
    assert "x.yaml: no such file" in failed(capsys, "--config", "x.yaml")[1]
    line = "error: scal: no such command; did you mean scale?"
    assert failed(capsys, "scal", name="benchmark") == (2, line)


def test_a_recipe_is_text_in_utf_8_with_or_without_a_mark(tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(RECIPE), "utf-8-sig")
    assert load(str(path), {}).model.base == "m"
    path.write_bytes("model: {base: é}".encode("latin-1"))
    line = f"error: --config {path}: not text in UTF-8"
    assert failed(capsys, "--config", str(path)) == (2, line)


def test_without_a_config_the_stored_recipe_is_used(tmp_path):
    run = str(tmp_path)
    bind(read_recipe(yaml.safe_dump(RECIPE), {"run": run, "sketch.seed": 9}, "x"))
    recipe = load(None, {"run": run, "report.top": "3"})
    assert recipe.sketch.seed == 9 and recipe.report.top == 3


def help_of(name, option="--help"):
    program = "from ray_jobs.cli import inflib; import sys; sys.argv[0] = 'inflib'"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; inflib()", name, option],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_help_shows_ten_options_and_help_all_every_one():
    first, everything = help_of("audit"), help_of("audit", "--help-all")
    assert first.startswith("Usage: inflib audit")
    listed = [line for line in first.splitlines() if line.startswith("  --")]
    assert len(listed) <= len(FIRST) + 4  # --config, --json, --help, --help-all
    assert all(f"--{path} " in first for path in FIRST)
    assert "falls as 1/sqrt(K)" in " ".join(everything.split())
    for text in ("prepare:", "score:", "--prepare.queries.NAME.select", "[65536]"):
        assert text in everything


def test_every_option_has_a_help_text():
    audit = command("audit")
    context = audit.make_context("audit", [], resilient_parsing=True)
    options = [p for p in audit.get_params(context) if isinstance(p, click.Option)]
    assert len(options) > 100
    for option in options:
        assert (option.help or "").partition("[")[0].strip(), option.name


def test_every_entry_point_is_listed_without_loading_it():
    program = (
        "import sys, click; from ray_jobs.cli import Commands\n"
        "group = Commands('inflib')\n"
        "print(group.get_help(click.Context(group)))\n"
        "assert not {'ray', 'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert set(ENTRIES) <= {words[0] for words in lines if len(words) == 2}


def test_options_and_their_words_are_completed():
    complete = BashComplete(Commands("inflib"), {}, "inflib", "_INFLIB_COMPLETE")

    def words(*before, start=""):
        return [item.value for item in complete.get_completions([*before], start)]

    assert "bias-study" in words(start="b")
    assert words("audit", start="--sketch.sk") == ["--sketch.sketch_size"]
    assert not any("NAME" in word for word in words("audit", start="--prepare."))
    assert words("audit", "--train.schedule") == ["linear", "cosine", "constant"]


def test_a_result_is_printed_as_json_and_nothing_else(config, capsys):
    def job(recipe):
        print("progress")
        return {"labels": 3}

    test = RecipeCommand("test", "Doc.", job)
    with pytest.raises(SystemExit) as stopped:
        run_command(test, "test", ["--config", config, "--json"])
    captured = capsys.readouterr()
    assert stopped.value.code == 0
    assert json.loads(captured.out) == {"labels": 3}
    assert captured.err == "progress\n"
