"""Rewards by a function of the user's: sketches by autograd; wrong functions."""

import pytest
import torch

from inflib.config.recipe import Recipe
from inflib.model.base_model import CLASSES
from inflib.model.custom_reward import give_function, load_function
from inflib.model.packing import Unit
from inflib.sketches.binding import bind_sketches
from inflib.sketches.unit_sketcher import UnitSketcher
from tests.support.autograd_sketches import assert_sketches, by_autograd
from tests.support.models import build_model, with_lora
from tests.support.prepared_run import ROWS, build_run, sketched

UNITS = [
    Unit([20, 50, 51], ([52, 53, 60, 7], [90, 7])),
    Unit([20, 70], ([71, 7], [81, 82, 83, 84, 85, 86, 7])),
]


def model_of(function, task="SEQ_CLS", family="llama"):
    base = build_model(family, kind=CLASSES[task])
    give_function(base, f"tests.support.rewards:{function}")
    return with_lora(base, task=task)


def test_the_score_by_a_function_gives_the_sketches_of_the_score(tmp_path):
    own = sketched(build_run(tmp_path / "own", ROWS))
    given = build_run(tmp_path / "given", ROWS, margin="tests.support.rewards:score")
    found = sketched(given)
    assert own.keys() == found.keys()
    for name, values in own.items():
        (margin, square, status, sketch), own_sketch = found[name], values[3]
        assert (margin, square) == pytest.approx(values[:2], rel=1e-3, abs=1e-5)
        assert status == values[2]
        torch.testing.assert_close(sketch, own_sketch, rtol=1e-3, atol=1e-4)


def margin(model, unit):
    means = []
    for tail in unit.tails:
        logits = model(input_ids=torch.tensor([unit.prefix + tail])).logits[0]
        places = range(len(unit.prefix) - 1, len(unit.prefix) + len(tail) - 1)
        means.append(3 * logits.log_softmax(1)[list(places), tail].mean())
    return means[0] - means[1]


def test_sketches_of_a_language_models_rewards_are_autograds():
    model = model_of("mean_log_probability", "CAUSAL_LM")
    right = by_autograd(model, UNITS, margin)
    assert right.sketcher._plain is None
    found = right.sketcher(UNITS, 4096)
    torch.testing.assert_close(found.values.float(), right.values)
    assert_sketches(found, right)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("among_its_batch", "depends on the other rows"),
        ("not_finite", "a reward is"),
        ("of_constants", "do not depend on the adapter"),
        ("single_number", "must return a tensor of 3 rewards"),
    ],
)
def test_a_wrong_function_is_refused(function, problem):
    with pytest.raises(ValueError, match=rf"rewards:{function}: .*{problem}"):
        UnitSketcher(model_of(function), 0, sketch_size=512, seed=0)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tests.support.no_module:f", "No module named"),
        ("tests.support.rewards:nothing", "no attribute 'nothing'"),
        ("tests.support.rewards:NUMBER", "no function"),
    ],
)
def test_a_function_that_is_not_there_is_named(name, problem):
    with pytest.raises(ValueError, match=problem):
        load_function(name)


def test_a_name_that_is_none_is_refused(tmp_path):
    recipe = build_run(tmp_path, ROWS[:2])
    for margin in ("simpo", "a b:c", ":f", "module:"):
        fields = recipe.model_dump()
        fields["model"]["margin"] = margin
        with pytest.raises(
            ValueError, match="must be reward, dpo, generative or package"
        ):
            Recipe.model_validate(fields)


def test_sketches_are_bound_to_the_function(tmp_path):
    recipe = build_run(tmp_path, ROWS[:2], margin="tests.support.rewards:score")
    bind_sketches(recipe)
    fields = recipe.model_dump()
    fields["model"]["margin"] = "tests.support.rewards:not_finite"
    with pytest.raises(ValueError, match="made with margin = "):
        bind_sketches(Recipe.model_validate(fields))
