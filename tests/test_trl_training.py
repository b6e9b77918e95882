"""Sketches that a training with TRL leaves behind, against sketching by themselves."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trl

import inflib
from inflib.model.trained_weights import trained_parameters
from inflib.scores.score_run import score_run
from inflib.storage.folder import Folder
from tests.support.files import ROOT, write_jsonl
from tests.support.ports import free_port
from tests.support.prepared_run import ROWS
from tests.support.training_sketches import close, expected, read
from tests.support.trl_training import (
    KeepWeights,
    prepared,
    reward_trainer,
    texts,
    train_until,
)


class Steps:
    """Which labels, by the ids of their chosen sequence, each step takes."""

    def __init__(self, trainer):
        self.chosen: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
        inner = trainer.training_step

        def step(model, inputs, *rest):
            mask = inputs["attention_mask"].bool()
            rows = [
                tuple(r[m].tolist())
                for r, m in zip(inputs["input_ids"], mask, strict=True)
            ]
            at = trainer.state.global_step
            half = len(rows) // 2
            self.chosen += [
                (at, pair) for pair in zip(rows[:half], rows[half:], strict=True)
            ]
            return inner(model, inputs, *rest)

        trainer.training_step = step


def first_steps(steps, rows):
    """{comparison_id: the step in which it first came by}."""
    found = {}
    for comparison, (row, *_) in rows.items():
        sides = {tuple(row["prefix"] + row["a"]), tuple(row["prefix"] + row["b"])}
        at = [step for step, pair in steps.chosen if set(pair) == sides]
        found[comparison] = min(at) if at else None
    return found


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {}),
        ("bert", {}),
        pytest.param(
            "llama",
            {"gradient_accumulation_steps": 2, "max_grad_norm": 0.1},
            marks=pytest.mark.slow,
        ),
        ("llama", {"gradient_checkpointing": True, "bf16": True}),
        pytest.param(
            "qwen3", {"center_rewards_coefficient": 0.1}, marks=pytest.mark.slow
        ),
    ],
)
def test_rows_are_sketched_by_the_model_of_their_step(tmp_path, family, options):
    recipe = prepared(tmp_path, family=family)
    plain = reward_trainer(tmp_path / "plain", family=family, **options)
    plain.train()
    keep = KeepWeights()
    trainer = reward_trainer(
        tmp_path / "out", family=family, callbacks=[keep], **options
    )
    steps = Steps(trainer)
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    same = zip(
        trained_parameters(plain.model).items(),
        trained_parameters(trainer.model).items(),
        strict=True,
    )
    for (name, one), (_, other) in same:
        assert torch.equal(one, other), name

    tolerance = 0.05 if options.get("bf16") else 1e-4
    rows = read(recipe, "train")
    first = first_steps(steps, rows)
    assert len({*first.values()}) >= 3 and None not in first.values()
    for comparison, found in rows.items():
        weights = keep.weights[first[comparison]]
        close(found, expected(recipe, trainer, weights, found[0]), tolerance)
    middle = len(keep.weights) // 2 // 2  # of the first of two epochs
    for found in read(recipe, "q").values():
        right = expected(recipe, trainer, keep.weights[middle], found[0])
        close(found, right, tolerance)


def test_what_training_did_not_see_is_sketched_in_the_end(tmp_path, capsys):
    recipe = prepared(tmp_path)
    keep = KeepWeights()
    trainer = reward_trainer(
        tmp_path / "out", rows=ROWS[:8], max_steps=3, callbacks=[keep]
    )
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    last = {n: p.detach() for n, p in trained_parameters(trainer.model).items()}
    by = {
        name: sum(
            np.allclose(
                row[1], expected(recipe, trainer, weights, row[0])[0], rtol=1e-4
            )
            for row in read(recipe, "train").values()
        )
        for name, weights in (("last", last), ("middle", keep.weights[1]))
    }
    assert by["last"] == len(ROWS[:8]) - 3 * 2
    assert by["middle"] == len(ROWS[8:]) + 2  # and the step's own two labels
    said = "22 comparisons were sketched in its course, 2 afterwards"
    assert said in capsys.readouterr().out
    done = Folder(recipe.run).read_json("sketches/done.json")
    assert (done["pairs"], done["after_training"]) == (24, 2)  # with the queries
    assert not (Path(recipe.run) / "sketches" / "spool").exists()


def test_a_run_of_it_is_scored_like_any_other(tmp_path):
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "out")
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    table, records = score_run(Folder(recipe.run), recipe.score, ["q"])
    assert np.isfinite(table["influence_gauss_newton_q"].to_numpy()).all()
    assert records["gauss_newton"].queries["q"].damping > 0
    with pytest.raises(ValueError, match="has sketches already"):
        trainer.train()


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_with_the_same_sketches(tmp_path):
    recipe = prepared(tmp_path / "one")
    trainer = reward_trainer(tmp_path / "out", save_strategy="steps", save_steps=2)
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    again = prepared(tmp_path / "two")
    killed = reward_trainer(tmp_path / "killed", save_strategy="steps", save_steps=2)
    inflib.sketch_training(killed, again.run)
    train_until(killed, 5)
    resumed = reward_trainer(tmp_path / "killed", save_strategy="steps", save_steps=2)
    inflib.sketch_training(resumed, again.run)
    resumed.train(resume_from_checkpoint=True)
    for pairs in ("train", "q"):
        one, two = read(recipe, pairs), read(again, pairs)
        assert one.keys() == two.keys()
        for comparison, found in one.items():
            assert torch.equal(found[3], two[comparison][3]), comparison


def test_a_layer_that_hooks_do_not_see_is_told(tmp_path):
    """A reward that depends on weights twice, once past the hooks."""
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "out")
    score = trainer.model.get_base_model().score
    head = score.modules_to_save["default"]
    forward = score.forward
    score.forward = lambda x: forward(x) + x @ head.weight.T
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="do not add up to autograd's"):
        trainer.train()


@pytest.mark.slow
def test_trls_own_script_with_two_lines_more_by_two_processes(tmp_path):
    recipe = prepared(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    write_jsonl(data / "train.jsonl", [texts(row) for row in ROWS])
    base = recipe.model.base
    source = Path(trl.__file__).parent / "scripts" / "reward.py"
    line = "    # Train the model\n"
    added = f"    import inflib\n    inflib.sketch_training(trainer, {recipe.run!r})\n"
    text = source.read_text()
    assert text.count(line) == 1
    script = tmp_path / "reward.py"
    script.write_text(text.replace(line, added))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
    command += ["--num_processes", "2", "--main_process_port", str(free_port())]
    command += [str(script), "--model_name_or_path", base, "--dataset_name", str(data)]
    command += ["--output_dir", str(tmp_path / "out"), "--num_train_epochs", "1"]
    command += ["--per_device_train_batch_size", "2", "--report_to", "none"]
    command += ["--use_peft", "--lora_task_type", "SEQ_CLS", "--lora_r", "3"]
    command += ["--lora_target_modules", "all-linear", "--use_cpu", "true"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = "24 comparisons were sketched in its course, 0 afterwards"
    assert said in done.stdout
    table, _ = score_run(Folder(recipe.run), recipe.score, ["q"])
    assert np.isfinite(table["influence_gauss_newton_q"].to_numpy()).all()


@pytest.mark.slow
def test_a_training_that_starts_anew_keeps_nothing_of_the_one_before(tmp_path):
    recipe = prepared(tmp_path / "one")
    trainer = reward_trainer(tmp_path / "out")
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="called for this trainer already"):
        inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    again = prepared(tmp_path / "two")
    killed = reward_trainer(tmp_path / "killed", learning_rate=0.1, seed=5)
    inflib.sketch_training(killed, again.run)
    train_until(killed, 5)
    assert (Path(again.run) / "sketches" / "spool" / "process-0").exists()
    anew = reward_trainer(tmp_path / "anew")
    inflib.sketch_training(anew, again.run)
    anew.train()
    for pairs in ("train", "q"):
        one, two = read(recipe, pairs), read(again, pairs)
        for comparison, found in one.items():
            assert torch.equal(found[3], two[comparison][3]), comparison


def test_a_loss_that_calls_the_model_twice_is_told(tmp_path):
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "out")
    inner = trainer.compute_loss

    def twice(model, inputs, *rest, **options):
        ids = {k: inputs[k] for k in ("input_ids", "attention_mask")}
        return inner(model, inputs, *rest, **options) + 0 * model(**ids).logits.sum()

    trainer.compute_loss = twice
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="calls the model more than once"):
        trainer.train()
