"""Training: rows from Arrow, soft targets and weights, float32 parameters, means over
labels; TRL's own trainer is the yardstick."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edit
from inflib.data.pairs_folder import TOKENS, PairsFolder
from inflib.model.label_ids import joined, labelled_ids
from inflib.model.planned_training import PlannedTraining
from inflib.model.preference_trainer import check_float32, evaluate
from inflib.model.training import build_trainer, labels_of
from inflib.storage.folder import Folder
from tests.support.prepared_run import ROWS, build_run

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


@given(LISTS, st.data())
def test_lists_are_joined_row_by_row(first, data):
    second = data.draw(
        st.lists(st.lists(st.integers(0, 9)), min_size=len(first), max_size=len(first))
    )
    arrays = [pa.array([[7], *lists], TOKENS).slice(1) for lists in (first, second)]
    expected = [a + b for a, b in zip(first, second, strict=True)]
    assert joined(*arrays).to_pylist() == expected


def trainer_of(recipe, edits=None, **train):
    fields = recipe.model_dump()
    fields["train"] |= {"epochs": 1.0, "batch_size": 4, "micro_batch_size": 4}
    fields["train"] |= {"label_smoothing": 0.0, "engine": "trl", **train}
    recipe = Recipe.model_validate(fields)
    plan = PlannedTraining.of(recipe, edits or {}, None)
    return build_trainer(recipe, plan, fields["run"] + "/scratch", [])


@pytest.fixture
def recipe(tmp_path):
    return build_run(tmp_path, ROWS)


def test_rows_are_the_labels_with_edits(recipe):
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    rows = labelled_ids(folder).to_pylist()
    edits = {
        "p0": Edit("flip", 1.0),
        "p1": Edit("drop", 0.0),
        "p2": Edit("weight", 2.5),
    }
    ids = [
        i
        for shard in folder.plan()
        for i in folder.labels(shard, ["pair_id"])["pair_id"].to_pylist()
    ]
    edited = labelled_ids(folder, edits).to_pylist()
    kept = [i for i in ids if i != "p1"]
    assert len(edited) == len(kept) == len(rows) - 1
    before, after = (
        {i: row | {"prompt": None} for i, row in zip(names, table, strict=True)}
        for names, table in ((ids, rows), (kept, edited))
    )
    assert after["p0"]["chosen_ids"] == before["p0"]["rejected_ids"]
    assert after["p0"]["rejected_ids"] == before["p0"]["chosen_ids"]
    assert after["p2"] == before["p2"] | {"weight": 2.5}
    assert after["p3"] == before["p3"]


def loss_of(trainer, rows):
    batch = trainer.data_collator(rows)
    return trainer.compute_loss(trainer.model.eval(), batch)


def test_sure_labels_train_as_trl_trains_them(recipe):
    from trl import RewardTrainer

    trainer = trainer_of(recipe)
    rows = [trainer.train_dataset[i] for i in range(4)]
    assert "target" not in rows[0]
    own = loss_of(trainer, rows)
    trls = RewardTrainer.compute_loss(
        trainer, trainer.model, trainer.data_collator(rows)
    )
    assert torch.equal(own, trls)


def test_soft_targets_and_weights_are_cross_entropy(recipe):
    trainer = trainer_of(recipe)
    rows = [trainer.train_dataset[i] for i in range(4)]
    targets, weights = [0.5, 0.75, 1.0, 0.2], [1.0, 4.0, 0.5, 2.0]
    soft = [
        row | {"target": target, "weight": weight, "margin": 0.1}
        for row, target, weight in zip(rows, targets, weights, strict=True)
    ]
    batch = trainer.data_collator(rows)
    logits = trainer.model.eval()(**batch).logits.squeeze(-1)
    chosen, rejected = torch.chunk(logits, 2)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        chosen - rejected - 0.1, torch.tensor(targets), torch.tensor(weights)
    )
    torch.testing.assert_close(loss_of(trainer, soft), expected)


def test_smoothing_moves_a_share_of_every_target_to_the_other_response(recipe):
    trainer = trainer_of(recipe, {"p0": Edit("tie", 1.0)}, label_smoothing=0.2)
    targets = list(trainer.train_dataset["target"])
    assert sorted(targets) == pytest.approx([0.5] + [0.8] * 11)
    rows = [trainer.train_dataset[i] for i in range(4)]
    turned = [
        row | {"chosen_ids": row["rejected_ids"], "rejected_ids": row["chosen_ids"]}
        for row in rows
    ]
    both = [loss_of(trainer, [r | {"target": 1.0} for r in x]) for x in (rows, turned)]
    whole = loss_of(trainer, [row | {"target": 0.8} for row in rows])
    torch.testing.assert_close(0.8 * both[0] + 0.2 * both[1], whole)


def test_votes_train_as_one_label_as_they_do_one_by_one(recipe):
    trainer = trainer_of(recipe)
    row = trainer.train_dataset[0]
    turned = {"chosen_ids": row["rejected_ids"], "rejected_ids": row["chosen_ids"]}
    one_by_one = loss_of(trainer, [row, row, row, turned])
    together = loss_of(trainer, [row | {"target": 0.75, "weight": 4.0}]) / 4
    torch.testing.assert_close(together, one_by_one)


def test_a_bfloat16_base_trains_in_float32(recipe):
    fields = recipe.model_dump()
    fields["model"]["dtype"] = "bfloat16"
    trainer = trainer_of(Recipe.model_validate(fields), learning_rate=2e-5, epochs=4.0)
    check_float32(trainer.model)
    names = [n for n, p in trainer.model.named_parameters() if p.requires_grad]
    before = {n: trainer.model.get_parameter(n).detach().clone() for n in names}
    trainer.train()
    (head,) = [n for n in names if "score" in n]
    moved = trainer.model.get_parameter(head).detach() != before[head]
    assert trainer.state.global_step == 12
    assert moved.float().mean() > 0.99  # 23% where the head was bfloat16
    frozen = {p.dtype for p in trainer.model.parameters() if not p.requires_grad}
    assert torch.bfloat16 in frozen


def test_means_count_labels_and_not_batches(recipe):
    trainer = trainer_of(recipe)
    table = labels_of(recipe, "q")
    whole = evaluate(trainer, table).means
    reader = trainer.label_reader
    trainer.label_reader = dataclasses.replace(reader, token_budget=50)
    assert len(list(trainer.label_reader.batches(table))) > 2
    parts = evaluate(trainer, table).means
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
    batch = trainer.data_collator(
        table.select(["chosen_ids", "rejected_ids"]).to_pylist()
    )
    chosen, rejected = torch.chunk(trainer.model(**batch).logits.squeeze(-1), 2)
    margins = (chosen - rejected).detach().numpy()
    assert whole["accuracy"] == pytest.approx(np.mean(margins > 0))
    assert whole["margin"] == pytest.approx(margins.mean(), rel=1e-5)
    assert whole["loss"] == pytest.approx(np.logaddexp(0, -margins).mean(), rel=1e-5)


def test_targets_and_weights_reach_the_loss_without_private_names(recipe, monkeypatch):
    from transformers import Trainer
    from trl import RewardTrainer

    edits = {"p2": Edit("weight", 2.5)}
    trainer = trainer_of(recipe, edits)
    for owner in (RewardTrainer, Trainer):
        monkeypatch.delattr(owner, "_set_signature_columns_if_needed")
    batches = list(trainer.get_train_dataloader())
    weights = torch.cat([batch["weight"] for batch in batches])
    assert weights.max() / weights.min() == pytest.approx(2.5)
    assert all("target" in batch for batch in batches)
