"""Recipes: errors name the field; a run refuses a recipe of other numbers."""

import re

import pytest
import yaml

from inflib.config.loading import read_recipe
from inflib.config.recipe import Recipe

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
    "train.epoch": (
        {"train.epoch": "2"},
        "--train.epoch: no such field; did you mean epochs?",
    ),
    "type": ({"sketch.sketch_size": "many"}, "--sketch.sketch_size: Input should be"),
    "range": ({"sketch.sketch_size": "0"}, "--sketch.sketch_size: Input should be"),
    "part": ({"prepare.train.part": [0.5, 0.2]}, "0 <= from < to <= 1"),
    "columns": ({"prepare.train.columns.labels": "x"}, "cannot map ['labels']"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"prepare.max_lenght": 9},
            "--prepare.max_lenght: no such field; did you mean",
        ),
        ({"prepare.queries.q.pth": 9}, "did you mean path?"),
        ({"prepare.train.plant.shar": 0.5}, "did you mean share?"),
        ({"zzz": 1}, "--zzz: no such field; there are run, prepare, model, train"),
    ],
)
def test_a_field_that_there_is_not_is_told_what_is_near(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(change)


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


@pytest.mark.parametrize("name", ["center_rewards_coefficient", "label_smoothing"])
def test_a_loss_that_is_not_supported_is_named(name):
    with pytest.raises(ValueError, match=f"{name} is not supported: the loss is"):
        read({f"train.{name}": "0.01"})


def test_query_sets_whose_columns_would_be_called_alike_are_refused():
    fields = {
        "run": "x",
        "model": {"base": "b"},
        "prepare": {
            "train": {"path": "t"},
            "queries": {"layer_expert": {"path": "q"}, "expert": {"path": "q"}},
        },
        "sketch": {"by_layer": True},
        "score": {"curvatures": ["datainf", "datainf_layer"]},
    }
    with pytest.raises(ValueError, match="would both be called datainf_layer_expert"):
        Recipe.model_validate(fields)
