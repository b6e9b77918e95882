"""Models that a training keeps on its way, and Adam's metric."""

from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from inflib.data.training_plan import Steps
from inflib.model.partway import _MOST, KeepPartway
from tests.support.planned_runs import (
    equal,
    partway_of,
    trained,
    weights,
    with_train,
)


class Rates(TrainerCallback):
    """The learning rate that each step is made with."""

    def __init__(self):
        self.found = []

    def on_pre_optimizer_step(self, args, state, control, optimizer, **_):
        self.found.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("holdout", [0.0, 0.3])
def test_the_kept_model_is_at_its_share_of_the_learning_rates(
    prepared, tmp_path, share, holdout
):
    recipe = with_train(prepared, holdout=holdout, patience=2)
    rates = Rates()
    trainer, facts = trained(recipe, tmp_path / "whole", callbacks=[rates])
    kept, found, moments = partway_of(trainer).nearest(facts["steps"], share)
    total = sum(rates.found[: facts["steps"]])
    assert kept.learning_rate_sum == pytest.approx(total)
    assert kept.share == pytest.approx(sum(rates.found[: kept.step]) / total)
    (spacing,) = (s for s in (1, 2) if 16 * s < max(17, facts["ended_at"]) <= 32 * s)
    nearest = min(
        range(spacing, facts["steps"] + 1, spacing),
        key=lambda step: abs(sum(rates.found[:step]) - share * total),
    )
    assert kept.step == nearest
    told = Steps(facts["planned_steps"], kept.step, facts["held_out"]["below"])
    same, _ = trained(recipe, tmp_path / "same", steps=told)
    assert equal(weights(same), found)
    assert found.keys() == moments.keys()


def test_a_step_goes_as_far_as_the_moments_say(prepared, tmp_path):
    recipe = with_train(prepared, holdout=0.0, epochs=0.5, evaluations_per_epoch=20)
    before, rates = [], Rates()

    class Weights(TrainerCallback):
        def on_step_begin(self, args, state, control, model, **_):
            named = model.named_parameters()
            before.append({n: p.detach().clone() for n, p in named if p.requires_grad})

    trainer, facts = trained(recipe, tmp_path, callbacks=[rates, Weights()])
    step = facts["steps"]
    kept, _, moments = partway_of(trainer).nearest(step, 1.0)
    assert kept.step == step and kept.share == 1.0
    state = trainer.optimizer.state
    moved = False
    for name, parameter in trainer.model.named_parameters():
        if not parameter.requires_grad:
            continue
        mean = state[parameter]["exp_avg"] / (1 - 0.9**step)
        expected = -rates.found[-1] * mean / (moments[name].sqrt() + 1e-8)
        change = parameter.detach() - before[-1][name]
        torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-6)
        moved = moved or bool(change.any())
    assert moved


@pytest.mark.parametrize("steps", [5, 32, 33, 400])
def test_few_models_are_on_disk_and_some_on_the_way_to_any_step(tmp_path, steps):
    class State:
        is_world_process_zero = True
        global_step = 0

    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    partway, state = KeepPartway(tmp_path / "kept"), State()
    arguments: dict[str, Any] = {
        "args": None,
        "control": None,
        "state": state,
        "model": model,
    }
    for step in range(1, steps + 1):
        partway.on_step_begin(**arguments, optimizer=optimizer)
        state.global_step = step
        partway.on_step_end(**arguments, optimizer=optimizer)
        found = partway._steps()
        spacing = found[-1] - ([0, *found])[-2]
        spaced = [s for s in found if s >= spacing]
        assert spaced == list(range(spacing, found[-1] + 1, spacing))
        assert len(spaced) <= _MOST and step - found[-1] < 2 * spacing
        assert [s for s in found if s < spacing] == [
            2**k for k in range(10) if 2**k < spacing
        ]
    for share in (0.3, 0.5, 0.9):
        near = partway.nearest(steps, share)
        assert near and abs(near[0].share - share) <= spacing / steps
    for best in range(1, steps + 1):  # whatever step turns out best, some is on its way
        near = partway.nearest(best, 0.5)
        assert near and near[0].step <= best and 1 / 4 <= near[0].share <= 1


def test_nothing_is_kept_on_the_way_to_a_step_that_moved_nothing(prepared, tmp_path):
    trainer, _ = trained(with_train(prepared, warmup_share=0.1), tmp_path)
    assert partway_of(trainer).nearest(1, 0.5) is None  # a warm-up begins with rate 0


def test_a_retraining_keeps_nothing_and_none_is_kept_where_it_is_not_asked_for(
    prepared, tmp_path
):
    recipe = with_train(prepared, epochs=0.5)
    for changes, steps in (({}, Steps(10, 5, 0.0)), ({"keep": 1.0}, None)):
        folder = tmp_path / str(len(changes))
        trainer, _ = trained(with_train(recipe, **changes), folder, steps=steps)
        callbacks = trainer.callback_handler.callbacks
        assert not any(isinstance(callback, KeepPartway) for callback in callbacks)
