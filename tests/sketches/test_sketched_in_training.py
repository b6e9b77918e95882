"""train.sketch: during, against sketching by the model of each label's step."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from inflib.config.recipe import Recipe
from inflib.model.planned_training import PlannedTraining
from inflib.model.training import build_trainer, save_reward_model
from inflib.sketches import spool as spool_module
from inflib.sketches.flat_training import SketchTraining
from inflib.sketches.spool import Spool
from inflib.storage.folder import Folder
from tests.support.planned_runs import equal, weights
from tests.support.prepared_run import ANSWERS
from tests.support.training_sketches import close, expected, read
from tests.support.trl_training import KeepWeights, prepared, train_until

MEETING = [
    {"pair_id": f"p{i}", "prompt": f"Question {i // 12}? ", "chosen": a, "rejected": b}
    for i, (a, b) in enumerate(2 * [*itertools.permutations(ANSWERS, 2)])
]
"""Two prompts with every ordered pair of four answers: two labels on a comparison."""


def with_train(recipe, **train):
    fields = recipe.model_dump()
    fields["train"] |= {
        "sketch": "during",
        "epochs": 2.0,
        "batch_size": 4,
        "micro_batch_size": 4,
        "holdout": 0.0,
        "lora_dropout": 0.0,
        "learning_rate": 1e-2,
        **train,
    }
    return Recipe.model_validate(fields)


def start(recipe, folder, *callbacks):
    plan = PlannedTraining.of(recipe, {}, None)
    trainer = build_trainer(recipe, plan, str(folder), list(callbacks))
    steps = min(plan.per_epoch, plan.planned)
    return trainer, SketchTraining(recipe, trainer, plan.labels, steps, folder)


def finish(recipe, trainer, sketching):
    scratch = str(Path(recipe.run) / "scratch")
    target = Folder(recipe.run) / "reward_model"
    save_reward_model(trainer, scratch, target, recipe.model)
    return sketching.write()


def steps_of(trainer):
    """Sets of (chosen, rejected) token ids of each step, which it fills in training."""
    steps: list[list[frozenset[tuple[int, ...]]]] = []
    inner = trainer.training_step

    def step(model, inputs, *rest):
        sides = (
            inputs["labels"][n].to_pylist() for n in ("chosen_ids", "rejected_ids")
        )
        steps.append([frozenset(map(tuple, pair)) for pair in zip(*sides, strict=True)])
        return inner(model, inputs, *rest)

    trainer.training_step = step
    return steps


@pytest.mark.parametrize(
    ("family", "train"),
    [
        ("llama", {}),
        ("bert", {}),
        pytest.param(
            "qwen3",
            {"gradient_checkpointing": True, "label_smoothing": 0.2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_each_comparison_is_sketched_in_its_first_step(tmp_path, family, train):
    recipe = with_train(prepared(tmp_path, MEETING, family=family), **train)
    keep = KeepWeights()
    trainer, sketching = start(recipe, tmp_path / "out", keep)
    steps = steps_of(trainer)
    trainer.train()
    assert finish(recipe, trainer, sketching) == 0
    assert len(steps) == 12
    rows = read(recipe, "train")
    assert len(rows) == 12  # of 24 labels
    for row in rows.values():
        ids = row[0]
        sides = frozenset(tuple(ids["prefix"] + ids[name]) for name in ("a", "b"))
        first = next(i for i, pairs in enumerate(steps) if sides in pairs)
        close(row, expected(recipe, trainer, keep.weights[first], ids))
    for row in read(recipe, "q").values():
        close(row, expected(recipe, trainer, keep.weights[3], row[0]))


@pytest.mark.slow
def test_training_is_the_same_but_for_rounding(tmp_path):
    recipe = with_train(prepared(tmp_path, MEETING))
    trainer, _ = start(recipe, tmp_path / "out")
    trainer.train()
    plan = PlannedTraining.of(recipe, {}, None)
    plain = build_trainer(recipe, plan, str(tmp_path / "plain"), [])
    plain.train()
    own, other = weights(trainer), weights(plain)
    for name, values in own.items():
        torch.testing.assert_close(values, other[name], rtol=1e-3, atol=1e-5)


def test_held_out_comparisons_are_sketched_with_the_queries(tmp_path):
    rows = [
        row | {"pair_id": f"{i}-{row['pair_id']}", "prompt": f"{i} {row['prompt']}"}
        for i in range(20)
        for row in MEETING[:2]
    ]
    recipe = with_train(prepared(tmp_path, rows), holdout=0.5, keep=0.5)
    keep = KeepWeights()
    trainer, sketching = start(recipe, tmp_path / "out", keep)
    trainer.train()
    assert finish(recipe, trainer, sketching) == 0
    middle = (len(rows) // 2 // 4) // 2
    right = 0
    for row in read(recipe, "train").values():
        margin = expected(recipe, trainer, keep.weights[middle], row[0])[0]
        right += abs(margin - row[1]) < 1e-5
    assert right >= 20  # and those of the step itself


def test_a_training_that_dies_goes_on_with_the_same_bits(tmp_path):
    recipe = with_train(
        prepared(tmp_path / "one", MEETING), saves_per_epoch=3, sketch="during"
    )
    whole, sketching = start(recipe, tmp_path / "whole")
    whole.train()
    finish(recipe, whole, sketching)
    again = with_train(prepared(tmp_path / "two", MEETING), saves_per_epoch=3)
    killed, _ = start(again, tmp_path / "out")
    train_until(killed, 5)
    resumed, sketching = start(again, tmp_path / "out")
    resumed.train(resume_from_checkpoint=True)
    finish(again, resumed, sketching)
    assert equal(weights(whole), weights(resumed))
    for pairs in ("train", "q"):
        one, two = read(recipe, pairs), read(again, pairs)
        for comparison, row in one.items():
            assert torch.equal(row[3], two[comparison][3]), comparison


def test_a_spool_leaves_out_what_was_half_written(tmp_path):
    recipe = with_train(prepared(tmp_path, MEETING))
    trainer, sketching = start(recipe, tmp_path / "out")
    trainer.train()
    spool = Path(recipe.run) / "sketches" / "spool" / "process-0"
    whole = (spool / "rows.bin").read_bytes()
    (spool / "rows.bin").write_bytes(whole[:-10])
    assert finish(recipe, trainer, sketching) == 1
    done = json.loads((Path(recipe.run) / "sketches" / "done.json").read_text())
    # each comparison is there twice, and among the queries
    assert (done["pairs"], done["after_training"]) == (48, 1)
    sketching.clean()
    assert not spool.exists()
    shutil.rmtree(recipe.run)


def test_spools_go_to_another_disk_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "_AT_ONCE", 3)
    generator = torch.Generator().manual_seed(0)
    own = Spool(tmp_path / "own", 16, 2, "int8")
    numbers = torch.randn(7, 16, generator=generator)
    margins, squares = numbers[:, 0].double(), numbers[:, 1:3].square().double()
    own.append([5, 1, 9, 3, 0, 2, 7], margins, squares, numbers)
    own.append([1, 4], margins[:2], squares[:2], numbers[:2])  # 1 is there already
    exchange = Folder(str(tmp_path / "exchange"))
    exchange.write("process-1-999999999999-rows.bin", b"of a training that died")
    own.upload(exchange, "process-1")
    assert len(exchange.names()) == 6  # three parts of each
    other = Spool(tmp_path / "other", 16, 2, "int8")
    other.download(exchange, "process-1")
    assert other.places == own.places == {5, 1, 9, 3, 0, 2, 7, 4}
    assert (other.payload() == own.payload()).all()
    assert (other.facts() == own.facts()).all()
