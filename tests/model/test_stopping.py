"""Training by evidence: which labels are held out, which step is kept, and that a
training that is interrupted keeps the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflib.data.label_edits import Edit
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import FEWEST, Holdout, Steps, weighted_labels
from inflib.model.label_ids import labelled_ids
from inflib.model.preference_trainer import evaluate
from inflib.model.stopping import curve_of, least, losses_of, since_least
from inflib.model.training import NameCheckpoints
from inflib.shapes.pairs import prompt_of
from inflib.storage.folder import Folder
from tests.support.planned_runs import (
    ROWS,
    Killed,
    equal,
    partway_of,
    trained,
    weights,
    with_train,
)
from tests.support.prepared_run import build_run


def train_folder(recipe):
    return PairsFolder(Folder(recipe.run) / "pairs" / "train")


def comparisons(folder):
    return {
        pair_id: comparison
        for shard in folder.plan()
        for pair_id, comparison in zip(
            *(
                folder.labels(shard)[name].to_pylist()
                for name in ("pair_id", "comparison_id")
            ),
            strict=True,
        )
    }


def test_prompts_are_held_out_whole_and_no_more_than_asked_for(prepared):
    folder = train_folder(prepared)
    names = comparisons(folder)
    holdout = Holdout.choose(weighted_labels(folder), 0.3)
    held = {prompt_of(names[pair_id]) for pair_id in holdout.pair_ids}
    trained = {prompt_of(c) for p, c in names.items() if p not in holdout.pair_ids}
    assert not held & trained
    assert len(holdout.pair_ids) == 24 and holdout.num_prompts == len(held) == 12
    assert {p for p, c in names.items() if c in holdout} == set(holdout.pair_ids)
    assert Holdout.at(weighted_labels(folder), holdout.below) == holdout
    more = Holdout.choose(weighted_labels(folder), 0.5)
    assert set(holdout.pair_ids) < set(more.pair_ids)


def test_nothing_is_held_out_where_it_would_say_nothing(prepared, tmp_path):
    folder = train_folder(prepared)
    few = Holdout.choose(weighted_labels(folder), 0.1)
    assert not few.pair_ids and f"8 comparisons, {FEWEST} the least" in few.why_not
    assert Holdout.choose(weighted_labels(folder), 0.0) == Holdout()
    one_prompt = [row | {"prompt": "Question? "} for row in ROWS[:4]] + ROWS
    rows = [
        row | {"pair_id": f"q{i}", "prompt": "Question? ", "chosen": f"No, {i}."}
        for i, row in enumerate(one_prompt)
    ]
    folder = train_folder(build_run(tmp_path, rows))
    alone = Holdout.choose(weighted_labels(folder), 0.3)
    assert not alone.pair_ids and "have 84 of 84 labels" in alone.why_not


LOSSES = st.lists(st.floats(0, 9) | st.just(float("nan")), max_size=9)


@given(LOSSES)
def test_the_first_of_the_least_losses_is_kept(losses):
    finite = [loss for loss in losses if np.isfinite(loss)]
    if not finite:
        assert least(losses) is None and since_least(losses) == len(losses)
        return
    best = losses.index(min(finite))
    assert least(losses) == best
    assert since_least(losses) == len(losses[best + 1 :])


def test_the_model_is_that_of_the_least_loss_on_held_out_labels(prepared, tmp_path):
    recipe = with_train(prepared, patience=2)
    trainer, facts = trained(recipe, tmp_path)
    curve = facts["curve"]
    losses = losses_of(curve)
    best = min(curve, key=lambda row: row["refined_loss"])
    assert facts["steps"] == best["step"] < facts["ended_at"] < facts["planned_steps"]
    assert facts["ended"] == "no lower loss in 2 evaluations"
    assert since_least(losses) == 2
    assert [row["step"] for row in curve] == [4 * (i + 1) for i in range(len(curve))]
    holdout = Holdout.choose(weighted_labels(train_folder(recipe)), 0.3)
    table = labelled_ids(train_folder(recipe), {}, holdout.__contains__)
    assert len(table) == facts["held_out"]["labels"] == 24
    assert facts["labels"] == len(trainer.train_dataset) == 56
    again = evaluate(trainer, table).means
    assert again["loss"] == pytest.approx(best["loss"], rel=1e-6)
    assert again["accuracy"] == best["accuracy"]


def test_a_retraining_makes_the_same_steps_with_fewer_labels(prepared, tmp_path):
    recipe = with_train(prepared, patience=2)
    own, facts = trained(recipe, tmp_path / "own")
    steps = Steps(facts["planned_steps"], facts["steps"], facts["held_out"]["below"])
    same, told = trained(recipe, tmp_path / "same", steps=steps)
    assert equal(weights(own), weights(same))
    assert told["ended"] == "as many steps as were asked for" and not told["curve"]
    names = [p for p in comparisons(train_folder(recipe)) if p not in own_held(recipe)]
    dropped = {name: Edit("drop", 0.0) for name in names[:20]}
    fewer, found = trained(recipe, tmp_path / "fewer", dropped, steps)
    assert len(fewer.train_dataset) == 36
    for name in ("steps", "planned_steps", "held_out", "ended_at"):
        assert found[name] == told[name], name
    rates, others = (t.lr_scheduler.get_last_lr() for t in (same, fewer))
    assert rates == others and min(rates) > 0


def own_held(recipe):
    return Holdout.choose(
        weighted_labels(train_folder(recipe)), recipe.train.holdout
    ).pair_ids


def test_without_held_out_labels_all_planned_steps_are_made(prepared, tmp_path):
    recipe = with_train(prepared, holdout=0.1, epochs=1.5)
    trainer, facts = trained(recipe, tmp_path)
    assert len(trainer.train_dataset) == 80 and not facts["curve"]
    assert facts["steps"] == facts["ended_at"] == facts["planned_steps"] == 30
    assert "all planned steps; nothing is held out: train.holdout" in facts["ended"]
    dropped = {f"p{i}": Edit("drop", 0.0) for i in range(20)}
    fewer, found = trained(recipe, tmp_path / "fewer", dropped)
    assert len(fewer.train_dataset) == 60 and found["steps"] == 30


@pytest.mark.parametrize("after", ["the best step", "the end"])
def test_a_worker_that_dies_goes_on_to_the_same_model(prepared, tmp_path, after):
    from transformers import TrainerCallback

    recipe = with_train(prepared, patience=3, saves_per_epoch=14)
    whole, facts = trained(recipe, tmp_path / "whole")
    assert facts["steps"] + 3 * 4 == facts["ended_at"]
    dies_at = facts["steps"] + 2 if after == "the best step" else facts["ended_at"]

    class Dies(TrainerCallback):
        def on_save(self, args, state, control, **_):
            if state.global_step == dies_at:
                raise Killed

    naming = NameCheckpoints("this")
    with pytest.raises(Killed):
        trained(recipe, tmp_path / "killed", callbacks=[naming, Dies()])
    saved = tmp_path / "killed" / f"checkpoint-{dies_at}"
    assert naming.names(saved)
    elsewhere = tmp_path / "elsewhere" / "checkpoint"  # the other folder is gone
    saved.rename(tmp_path / "moved")
    elsewhere.parent.mkdir()
    (tmp_path / "moved").rename(elsewhere)
    again, found = trained(recipe, tmp_path / "again", resume=elsewhere)
    assert equal(weights(whole), weights(again))
    assert found == facts
    first, second = (partway_of(t).nearest(facts["steps"], 0.5) for t in (whole, again))
    assert first[0] == second[0]
    assert equal(first[1], second[1]) and equal(first[2], second[2])


def test_curves_leave_out_other_log_lines():
    evaluation = {"eval_loss": 0.5, "eval_accuracy": 0.7, "eval_best_scale": 2.0}
    evaluation["eval_refined_loss"] = 0.4
    log = [{"loss": 1.0, "step": 3}, evaluation | {"step": 4, "eval_margin": 1.0}]
    assert curve_of(log) == [
        {
            "step": 4,
            "loss": 0.5,
            "accuracy": 0.7,
            "best_scale": 2.0,
            "refined_loss": 0.4,
        }
    ]
