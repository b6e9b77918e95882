"""Recipes: errors name the field; a run refuses a recipe of other numbers."""

import re

import pytest
import yaml

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
            "score.curvatures": ["identity"],
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
    "train.epoch": ({"train.epoch": "2"}, "--train.epoch: Extra inputs"),
    "type": ({"sketch.sketch_size": "many"}, "--sketch.sketch_size: Input should be"),
    "range": ({"sketch.sketch_size": "0"}, "--sketch.sketch_size: Input should be"),
    "part": ({"prepare.train.part": [0.5, 0.2]}, "0 <= from < to <= 1"),
    "columns": ({"prepare.train.columns.labeler": "x"}, "cannot map ['labeler']"),
    "train as query": ({"prepare.queries.train.path": "x"}, "query set name 'train'"),
    "batch": ({"train.batch_size": "10"}, "batch_size 10 must be a multiple"),
    "inside a value": ({"run.x": "1"}, "--run.x: run has no fields"),
    "curvatures": ({"score.curvatures": []}, "non-empty list"),
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


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match=r"x\.yaml: .*'seed' stands there twice"):
        read_recipe("run: r\ntrain: {seed: 1, seed: 2}", {}, "x.yaml")


def test_a_run_refuses_a_recipe_of_other_numbers(tmp_path):
    run = {"run": str(tmp_path)}
    bind(read(run))
    bind(read(run | {"sketch.workers": "7", "score.damping": 1.0}))
    with pytest.raises(ValueError, match=r"was made with sketch\.seed = 0, not 1"):
        bind(read(run | {"sketch.seed": "1"}))
    with pytest.raises(ValueError, match=r"prepare\.queries\.q\.select"):
        bind(read(run | {"prepare.queries.q.select": "chosen_longer"}))


@pytest.mark.parametrize("name", ["center_rewards_coefficient", "label_smoothing"])
def test_a_loss_that_is_not_supported_is_named(name):
    with pytest.raises(ValueError, match=f"{name} is not supported: the loss is"):
        read({f"train.{name}": "0.01"})
