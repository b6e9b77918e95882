"""Recipes: errors name the field; a run refuses a recipe of other numbers."""

import re
from typing import get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from inflib.config.base import members
from inflib.config.loading import read_recipe
from inflib.config.recipe import Recipe

RECIPE = {
    "run": "r",
    "prepare": {"train": {"path": "a"}, "queries": {"q": {"path": "b"}}},
    "model": {"base": "m"},
}


def read(overrides=None, **fields):
    return read_recipe(yaml.safe_dump(RECIPE | fields), overrides or {}, "x.yaml")


def fields_of(model, kind, path=""):
    """Dotted names of the fields, of a model and those in it, that hold this kind."""
    for name, field in model.model_fields.items():
        for member in members(field.annotation):
            items = {kind for item in get_args(member) for kind in members(item)}
            if member is kind or (get_origin(member) is tuple and kind in items):
                yield f"{path}{name}"
            elif isinstance(member, type) and issubclass(member, BaseModel):
                yield from fields_of(member, kind, f"{path}{name}.")


NUMBERS = sorted({*fields_of(Recipe, int), *fields_of(Recipe, float)})


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_read_from_true(name):
    said = set()
    for value in (True, [True], [True, True], [[True]]):
        with pytest.raises(ValueError, match=f"--{name}: ") as caught:
            read({name: value})
        said |= set(
            re.findall(f"--{name}: must be a number, not true", str(caught.value))
        )
    assert said


@pytest.mark.parametrize("name", [*fields_of(Recipe, bool)])
def test_no_truth_is_read_from_a_number(name):
    for value in (1, 0, 1.0, "1"):
        with pytest.raises(ValueError, match=f"--{name}: must be true or false, not"):
            read({name: value})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "train.workers 1 must be a multiple of model.sharded_over 2"),
        ({"train.workers": 2, "sketch.workers": 3}, "sketch.workers 3 must be a mult"),
        ({"train.workers": 2, "train.engine": "trl"}, "is of train.engine flat"),
        ({"train.workers": 2, "model.quantization": "nf4"}, "take one of the two"),
        ({"model.objective_weights": [0, 0], "model.sharded_over": 1}, "not 0, else"),
        (
            {
                "model.objective_weights": [2.0],
                "model.sharded_over": 1,
                "train.engine": "trl",
            },
            "objective_weights is of train.engine flat",
        ),
    ],
)
def test_a_shared_base_is_one_that_workers_can_share(changes, said):
    with pytest.raises(ValueError, match=said):
        read({"model.sharded_over": 2, "train.micro_batch_size": 8, **changes})


@pytest.mark.parametrize("delimiter", ["", ", ", '"', "\n", "comma"])
def test_a_delimiter_is_one_character(delimiter):
    with pytest.raises(ValueError, match=r"prepare.train.delimiter: must be one char"):
        read({"prepare.train.delimiter": delimiter})


@pytest.mark.parametrize("name", [*fields_of(Recipe, float)])
@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
def test_no_number_is_infinite(name, text):
    value = yaml.safe_load(text)
    for given in (value, [value], [value, value], str(value)):
        with pytest.raises(ValueError, match=f"--{name}") as caught:
            read({name: given})
        assert "\n" not in str(caught.value)


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


def test_a_loss_that_is_not_supported_is_named():
    name = "center_rewards_coefficient"
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verify.groups": 1}, "a single group is all labels"),
        ({"train.seed": -1}, "train.seed"),
        ({"sketch.seed": 2**64}, "sketch.seed"),
    ],
)
def test_what_could_only_fail_later_is_refused_with_the_recipe(changes, message):
    with pytest.raises(ValueError, match=message):
        read_recipe(yaml.safe_dump(RECIPE), changes, "here")


def test_a_recipe_nested_without_end_is_one_line():
    with pytest.raises(ValueError, match=r"deep\.yaml: not valid YAML"):
        read_recipe("x: " + "[" * 5000, {}, "deep.yaml")
