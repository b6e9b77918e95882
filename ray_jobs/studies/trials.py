"""Edits of labels to trained reward models and their metrics, several at once."""

from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.train import Training, fit


def trial_training(recipe: Recipe, parent: Folder, trial: Trial) -> Training:
    """The training with a trial's labels and seed, into parent/<the trial's name>."""
    seed = {"seed": recipe.train.seed + trial.seed}
    seeded = recipe.model_copy(update={"train": recipe.train.model_copy(update=seed)})
    return Training(seeded, parent / trial.name, trial.edits)


def train_all(
    trainings: list[Training], at_once: int, folder: Folder
) -> list[dict[str, Any]]:
    """Train all, unless they are done; returns each one's metrics, in their order.

    Metrics are {query set: {loss, accuracy, margin}}. at_once: worker groups that the
    trainings are dealt to; folder: gets their checkpoints. Trainings into the same
    folder are one.
    """
    distinct = {training.folder.url: training for training in trainings}
    todo = [training for training in distinct.values() if not training.done]
    ray.get(
        [
            _fit.remote(todo[number::at_once], folder, f"checkpoints-{number}")
            for number in range(min(at_once, len(todo)))
        ]
    )
    return [
        training.folder.read_json("metrics.json")["queries"] for training in trainings
    ]


@ray.remote(num_cpus=0, max_retries=0)
def _fit(trainings: list[Training], folder: Folder, name: str) -> None:
    """`fit` as a task: Ray Train blocks, and several are to run at once."""
    observe("trials")
    fit(trainings, folder, name)
