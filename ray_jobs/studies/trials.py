"""Trainings of reward models, several at once."""

from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.train import Training, fit


def of_trial(recipe: Recipe, parent: Folder, trial: Trial) -> Training:
    """With a trial's labels and seed, into a folder of its name."""
    seed = {"seed": recipe.train.seed + trial.seed}
    own = recipe.model_copy(update={"train": recipe.train.model_copy(update=seed)})
    return Training(own, parent / trial.name, trial.edits)


def train_all(
    trainings: list[Training], at_once: int, folder: Folder
) -> list[dict[str, Any]]:
    """{query set: {"loss", "accuracy", "margin"}} of each; what is done is kept.

    at_once: worker groups that share them; folder: gets their checkpoints.
    """
    distinct = {each.folder.url: each for each in trainings}
    todo = [each for each in distinct.values() if not each.done]
    ray.get(
        [
            _fit.remote(todo[group::at_once], folder, f"checkpoints-{group}")
            for group in range(min(at_once, len(todo)))
        ]
    )
    return [each.folder.read_json("metrics.json")["queries"] for each in trainings]


@ray.remote(num_cpus=0, max_retries=0)
def _fit(trainings: list[Training], folder: Folder, name: str) -> None:
    observe("trials")
    fit(trainings, folder, name)
