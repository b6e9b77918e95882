"""Edits of labels to trained reward models and their metrics, several at once."""

from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.data.training_plan import Steps
from inflib.model.reward_folder import trained_steps
from inflib.scores.retrained import Bank
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.train import Training, fit


class Trials:
    """The trainings of a run's trials, each into its folder of retrained/."""

    def __init__(self, recipe: Recipe) -> None:
        """Reads which labels the run has, and how its own model was trained."""
        self._recipe, self._bank = recipe, Bank(recipe)
        self._steps = trained_steps(recipe)

    def training(self, trial: Trial, steps: Steps | None = None) -> Training:
        """The training with a trial's labels and seed.

        It makes as many steps as the run's own, of the same schedule and without the
        same held-out labels, however many labels are left; steps: others than those.
        """
        recipe, steps = self._recipe, steps or self._steps
        changes: dict[str, Any] = {"seed": recipe.train.seed + trial.seed}
        if steps is None:
            changes["holdout"] = 0.0
            if recipe.model.adapter is None:  # trained before there was smoothing
                changes["label_smoothing"] = 0.0
        train = recipe.train.model_copy(update=changes)
        folder = self._bank.folder_of(train, trial.edits, steps)
        seeded = recipe.model_copy(update={"train": train})
        return Training(seeded, folder, trial.edits, steps)


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
