"""What a training with TRL must not be to be sketched, told before it starts."""

import shutil
from pathlib import Path

import pytest
from peft import LoraConfig

import inflib
from inflib.config.recipe import Recipe
from inflib.config.run_config import bind
from inflib.data.pairs_folder import PairsFolder
from inflib.model.base_model import load_base
from inflib.scores.score_run import score_run
from inflib.sketches import store
from inflib.storage.folder import Folder
from tests.support.models import build_model, build_tokenizer
from tests.support.prepared_run import POISONED, ROWS
from tests.support.trl_training import prepared, reward_trainer

TURNED = [
    row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in ROWS[:6]
]


def test_trainers_that_cannot_be_followed(tmp_path):
    recipe = prepared(tmp_path)
    with pytest.raises(ValueError, match="holds no run"):
        inflib.sketch_training(reward_trainer(tmp_path / "a"), str(tmp_path / "none"))
    trainer = reward_trainer(tmp_path / "b")
    trainer.args.torch_compile = True
    with pytest.raises(ValueError, match="torch_compile"):
        inflib.sketch_training(trainer, recipe.run)
    trainer = reward_trainer(tmp_path / "c")
    trainer.model.get_base_model().model.norm.weight.requires_grad_(True)
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="norm is trained and is no linear layer"):
        trainer.train()
    trainer = reward_trainer(tmp_path / "e")
    trainer.args.gradient_checkpointing = True
    trainer.args.gradient_checkpointing_kwargs = {"use_reentrant": True}
    with pytest.raises(ValueError, match="use_reentrant true"):
        inflib.sketch_training(trainer, recipe.run)
    wider = build_model("bert")
    with pytest.raises(ValueError, match=r"has model_type bert, model\.base of"):
        inflib.sketch_training(reward_trainer(tmp_path / "f", model=wider), recipe.run)
    dpo = prepared(tmp_path / "dpo", margin="dpo")
    with pytest.raises(ValueError, match=r"cannot follow model\.margin dpo"):
        inflib.sketch_training(reward_trainer(tmp_path / "g"), dpo.run)


def test_runs_that_have_something_already(tmp_path):
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "a")
    for place, what in (
        ("sketches/done.json", "sketches"),
        ("reward_model/done.json", "a reward model"),
        ("reward_model/kept/partway.json", "a reward model"),
    ):
        folder = tmp_path / what / place.replace("/", "-")
        shutil.copytree(Path(recipe.run), folder)
        Folder(str(folder)).write_json(place, {})
        with pytest.raises(ValueError, match=f"has {what} already"):
            inflib.sketch_training(trainer, str(folder))
    fields = recipe.model_dump(mode="json")
    fields["model"]["adapter"] = str(tmp_path / "adapter")
    bind(Recipe.model_validate(fields))
    with pytest.raises(ValueError, match=r"is an audit of model\.adapter"):
        inflib.sketch_training(trainer, recipe.run)


def test_an_adapter_that_no_later_stage_reads(tmp_path):
    recipe = prepared(tmp_path)
    headless = LoraConfig(r=3, target_modules="all-linear", modules_to_save=["score"])
    trainer = reward_trainer(tmp_path / "out", peft_config=headless)
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match=r"no reward model .*task_type None"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_pad_token_that_ends_texts(tmp_path):
    """As where TRL takes EOS for a tokenizer without a pad token."""
    recipe = prepared(tmp_path)
    tokenizer = build_tokenizer(None)
    tokenizer.pad_token = tokenizer.eos_token
    trainer = reward_trainer(tmp_path / "out", tokenizer=tokenizer)
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="texts end with its pad token"):
        trainer.train()


def test_rewards_that_are_read_elsewhere(tmp_path):
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "out")
    base = trainer.model.get_base_model()
    inner = base.forward

    def other(*arguments, **options):
        output = inner(*arguments, **options)
        output.logits = len(output.logits) * output.logits  # rows of a batch
        return output

    base.forward = other
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="when rewards are read at the last token"):
        trainer.train()


def test_labels_that_are_not_the_runs_are_refused_or_counted(tmp_path, caplog):
    recipe = prepared(tmp_path, rows=ROWS[:9])
    trainer = reward_trainer(tmp_path / "out")
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    assert "3 of the trainer's 12 labels are not in" in caplog.text
    other = prepared(tmp_path / "other", rows=ROWS[:3])
    trainer = reward_trainer(tmp_path / "again")
    inflib.sketch_training(trainer, other.run)
    with pytest.raises(ValueError, match=r"9 of the trainer's 12 labels .* row"):
        trainer.train()


def test_labels_that_say_otherwise(tmp_path, caplog):
    recipe = prepared(tmp_path, rows=ROWS[:6])
    trainer = reward_trainer(tmp_path / "a", rows=TURNED)
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match="6 of the trainer's 6 labels prefer"):
        trainer.train()
    trainer = reward_trainer(tmp_path / "b", rows=[*TURNED[:2], *ROWS[2:6]])
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    assert "2 of the trainer's 6 labels prefer the other response" in caplog.text


def test_another_end_of_texts_is_named(tmp_path):
    recipe = prepared(tmp_path)
    trainer = reward_trainer(tmp_path / "out")
    trainer.train_dataset = trainer.train_dataset.map(
        lambda row: {k: row[k][:-1] for k in ("chosen_ids", "rejected_ids")}
    )
    inflib.sketch_training(trainer, recipe.run)
    with pytest.raises(ValueError, match=r"--prepare\.append_eos false"):
        trainer.train()


def test_what_is_not_finite_is_stored_so(tmp_path):
    recipe = prepared(tmp_path, rows=[*ROWS, POISONED], poison=True)
    trainer = reward_trainer(tmp_path / "out", model=load_base(recipe.model, 0))
    inflib.sketch_training(trainer, recipe.run)
    trainer.train()
    run = Folder(recipe.run)
    for pairs in ("train", "q"):
        records = [
            store.read_record(run / "sketches" / pairs, shard.name)
            for shard in PairsFolder(run / "pairs" / pairs).plan()
        ]
        status = [s for record in records for s in record["status"]]
        assert status.count("not_finite") == 1 and status.count("ok") == len(ROWS)
    table, _ = score_run(run, recipe.score, ["q"])
    assert table["influence_gauss_newton_q"].null_count == 1
