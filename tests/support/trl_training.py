"""Trainings with TRL as its users write them, on a run that is prepared."""

import shutil
from contextlib import suppress
from pathlib import Path

import datasets
import torch
from peft import LoraConfig, TaskType
from transformers import TrainerCallback
from trl import RewardConfig, RewardTrainer

from inflib.config.recipe import Recipe
from inflib.config.run_config import bind
from inflib.model.trained_weights import trained_parameters
from tests.support.models import build_model, build_tokenizer
from tests.support.planned_runs import Killed
from tests.support.prepared_run import ROWS, build_run


def prepared(folder, rows=ROWS, family="llama", **sketch):
    """Recipe of a prepared run without adapter and sketches."""
    fields = build_run(
        folder, rows, family=family, sketch_size=256, store_dtype="float32", **sketch
    ).model_dump(mode="json")
    fields["model"]["adapter"] = None
    recipe = Recipe.model_validate(fields)
    shutil.rmtree(Path(recipe.run) / "sketches")
    bind(recipe)
    return recipe


def reward_trainer(
    folder,
    rows=ROWS,
    family="llama",
    callbacks=(),
    model=None,
    peft_config=None,
    tokenizer=None,
    **options,
):
    """A RewardTrainer with LoRA on texts of prompt, chosen and rejected; model: the
    base, default: of the family."""
    torch.manual_seed(0)
    tokenizer = tokenizer or build_tokenizer()
    arguments = RewardConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        max_length=None,
        disable_tqdm=True,
        logging_steps=1000,
        **{
            "save_strategy": "no",
            "gradient_checkpointing": False,
            "bf16": False,
            "num_train_epochs": 2,
            "learning_rate": 1e-2,
            "seed": 3,
            **options,
        },
    )
    data = datasets.Dataset.from_list([texts(row) for row in rows])
    return RewardTrainer(
        model=model or build_model(family),
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=peft_config
        or LoraConfig(
            task_type=TaskType.SEQ_CLS, r=3, lora_alpha=6, target_modules="all-linear"
        ),
        callbacks=[*callbacks],
    )


def texts(row):
    """A row with TRL's columns and no other."""
    return {name: row[name] for name in ("prompt", "chosen", "rejected")}


class KeepWeights(TrainerCallback):
    """Remembers the trained weights before each step, and which labels a step has."""

    def __init__(self):
        self.weights = []

    def on_step_begin(self, args, state, control, model, **_):
        found = trained_parameters(model).items()
        self.weights.append({n: p.detach().clone() for n, p in found})


def train_until(trainer, step):
    """Train, and die before a step."""
    inner = trainer.training_step

    def dies(*arguments):
        if trainer.state.global_step == step:
            raise Killed
        return inner(*arguments)

    trainer.training_step = dies
    with suppress(Killed):
        trainer.train()
    assert trainer.state.global_step == step
