"""Trainings of reward models, several at once: whole runs', and with labels changed."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.verifying import Trial
from ray_jobs.observe import observe
from ray_jobs.train import fit, train


@dataclass(frozen=True)
class Training:
    """One of a run's labels, changed as a trial says."""

    recipe: Recipe

    parent: Folder
    """Holds the trial's folder."""

    trial: Trial

    @property
    def folder(self) -> Folder:
        return self.parent / self.trial.name


def train_trials(trainings: list[Training], at_once: int) -> list[dict[str, Any]]:
    """{query set: {"loss", "accuracy"}} of each; those that are done are kept."""
    distinct = {each.folder.url: each for each in trainings}
    todo = {
        url: partial(_run_trial.remote, each)
        for url, each in distinct.items()
        if not each.folder.exists("metrics.json")
    }
    _run(todo, at_once)
    return [each.folder.read_json("metrics.json")["queries"] for each in trainings]


def train_runs(recipes: list[Recipe], at_once: int) -> None:
    """Train the models of prepared runs; those that are done are kept."""
    todo = {
        recipe.run: partial(_train_run.remote, recipe)
        for recipe in recipes
        if not (Folder(recipe.run) / "reward_model").exists("done.json")
    }
    _run(todo, at_once)


def _run(todo: dict[str, Any], at_once: int) -> None:
    """Start tasks in order, so many at a time. todo: {name: what starts its task}."""
    waiting, running = list(todo), dict[Any, str]()
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            running[todo[name]()] = name
        (finished,), _ = ray.wait(list(running))
        name = running.pop(finished)
        ray.get(finished)
        left = len(waiting) + len(running)
        print(f"{name} is trained, {left} trainings left", flush=True)


@ray.remote(num_cpus=0, max_retries=0)
def _run_trial(training: Training) -> None:
    """Train with a trial's labels."""
    observe("trial")
    recipe = training.recipe
    seed = {"seed": recipe.train.seed + training.trial.seed}
    changed = recipe.model_copy(update={"train": recipe.train.model_copy(update=seed)})
    fit(changed, training.folder, training.trial.edits)


@ray.remote(num_cpus=0, max_retries=0)
def _train_run(recipe: Recipe) -> None:
    train(recipe)
