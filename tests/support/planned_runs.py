"""Trainings of a tiny prepared run, in this process."""

import numpy as np
import torch

from inflib.config.recipe import Recipe
from inflib.model.partway import KeepPartway
from inflib.model.planned_training import PlannedTraining
from inflib.model.stopping import KeepBest
from inflib.model.training import build_trainer
from tests.support.prepared_run import ANSWERS

WINS = np.random.default_rng(0).permutation(80) < 40
ROWS = [
    {
        "pair_id": f"p{i}",
        "prompt": f"Question {i // 2}? ",
        "chosen": ANSWERS[2 * wins + i % 2],
        "rejected": ANSWERS[2 * (1 - wins) + i % 2],
    }
    for i, wins in enumerate(WINS.astype(int))
]
"""80 labels, two on each of 40 prompts; tossed, so that nothing is to be learned."""


def with_train(recipe, **train):
    fields = recipe.model_dump()
    fields["train"] |= {
        "epochs": 3.0,
        "batch_size": 4,
        "micro_batch_size": 4,
        "holdout": 0.3,
        "evaluations_per_epoch": 4,
        "learning_rate": 3e-2,  # soon too high, so that the best step is not the last
        **train,
    }
    return Recipe.model_validate(fields)


def trained(recipe, folder, edits=None, steps=None, callbacks=(), resume=None):
    plan = PlannedTraining.of(recipe, edits or {}, steps)
    trainer = build_trainer(recipe, plan, str(folder), list(callbacks))
    train_on(trainer, resume)
    return trainer, plan.facts(trainer.state)


def train_on(trainer, resume=None):
    """Train; resume: the folder of a checkpoint to go on at."""
    for callback in trainer.callback_handler.callbacks if resume else ():
        if isinstance(callback, KeepBest | KeepPartway):
            callback.restore(resume)
    trainer.train(resume_from_checkpoint=resume and str(resume))


def weights(trainer):
    return {
        name: parameter.detach().clone()
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


class Killed(Exception):
    """Stands for a worker that dies."""


def partway_of(trainer):
    """The callback that keeps models of a training."""
    (found,) = [
        c for c in trainer.callback_handler.callbacks if isinstance(c, KeepPartway)
    ]
    return found
