"""Recipes and the command line: errors name the field; runs are bound."""

import re

import pytest
import yaml

from inflib.config.cli import help_text, options, parse
from inflib.config.loading import bind, read_recipe

RECIPE = {
    "run": "r",
    "prepare": {"train": {"path": "a"}, "queries": {"q": {"path": "b"}}},
    "model": {"base": "m"},
}


def read(overrides=None, **fields):
    return read_recipe(yaml.safe_dump(RECIPE | fields), overrides or {}, "x.yaml")


def test_every_field_can_be_overridden():
    recipe = read(
        {
            "train.epochs": "2",
            "sketch.seed": "5",
            "prepare.queries.q.select": "chosen_shorter",
            "prepare.queries.new.path": "c",
            "prepare.train.plant.share": "0.5",
            "score.curvatures": "[identity]",
            "model.adapter": "some/adapter",
        }
    )
    assert recipe.train.epochs == 2.0
    assert recipe.sketch.seed == 5
    assert recipe.prepare.queries["q"].select == "chosen_shorter"
    assert recipe.prepare.queries["new"].path == "c"
    assert recipe.prepare.train.plant.share == 0.5
    assert recipe.score.curvatures == ("identity",)
    assert recipe.model.adapter == "some/adapter"


BAD = {
    "train.epoch": ({"train.epoch": "2"}, "train.epoch: Extra inputs"),
    "type": ({"sketch.sketch_size": "many"}, "sketch.sketch_size: Input should be"),
    "range": ({"sketch.sketch_size": "0"}, "sketch.sketch_size: Input should be"),
    "part": ({"prepare.train.part": "[0.5, 0.2]"}, "0 <= from < to <= 1"),
    "columns": ({"prepare.train.columns.labeler": "x"}, "cannot map ['labeler']"),
    "train as query": ({"prepare.queries.train.path": "x"}, "query set name 'train'"),
    "batch": ({"train.batch_size": "10"}, "batch_size 10 must be a multiple"),
    "inside a value": ({"run.x": "1"}, "--run.x: run has no fields"),
    "curvatures": ({"score.curvatures": "[]"}, "non-empty list"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_field_is_named(name):
    overrides, message = BAD[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        read(overrides)


def test_broken_yaml_names_the_file():
    with pytest.raises(ValueError, match=r"x\.yaml: not valid YAML"):
        read_recipe("a: [", {}, "x.yaml")
    with pytest.raises(ValueError, match=r"x\.yaml: a recipe is a YAML mapping"):
        read_recipe("- a", {}, "x.yaml")
    with pytest.raises(ValueError, match="prepare: Field required"):
        read_recipe("run: r", {}, "x.yaml")


def test_a_run_refuses_a_recipe_of_other_numbers(tmp_path):
    run = {"run": str(tmp_path)}
    bind(read(run))
    bind(read(run | {"sketch.workers": "7", "score.damping": "1.0"}))
    with pytest.raises(ValueError, match=r"was made with sketch\.seed = 0, not 1"):
        bind(read(run | {"sketch.seed": "1"}))
    with pytest.raises(ValueError, match=r"prepare\.queries\.q\.select"):
        bind(read(run | {"prepare.queries.q.select": "chosen_longer"}))


def test_without_a_config_the_stored_recipe_is_used(tmp_path):
    bind(read({"run": str(tmp_path), "sketch.seed": "9"}))
    recipe = parse("doc", ["--run", str(tmp_path), "--report.top=3"])
    assert recipe.sketch.seed == 9
    assert recipe.report.top == 3


def test_command_line_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"give --config RECIPE\.yaml"):
        parse("doc", [])
    with pytest.raises(ValueError, match="holds no run"):
        parse("doc", ["--run", str(tmp_path)])
    with pytest.raises(ValueError, match="no such file"):
        parse("doc", ["--config", str(tmp_path / "x.yaml")])
    with pytest.raises(ValueError, match="'stray' is not an option"):
        options(["stray"])
    with pytest.raises(ValueError, match="--run needs a value"):
        options(["--run"])


def test_help_lists_every_field_with_its_docstring():
    text = help_text("What it does.")
    assert text.startswith("What it does.")
    assert "--sketch.sketch_size (default 65536)" in text
    assert "falls as 1/sqrt(K)" in text
    assert "--prepare.queries.NAME.select" in text
    assert "--prepare.train.plant.share" in text
    undocumented = [
        line
        for line, after in zip(text.splitlines(), text.splitlines()[1:], strict=False)
        if line.startswith("  --") and not after.strip()
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", ["center_rewards_coefficient", "label_smoothing"])
def test_a_loss_that_is_not_supported_is_named(name):
    with pytest.raises(ValueError, match=f"{name} is not supported: the loss is"):
        read({f"train.{name}": "0.01"})
