"""Trainings of the reward model with some labels changed, several at once."""

from typing import Any

import ray

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.verifying import Trial
from ray_jobs.observe import observe
from ray_jobs.train import fit


def train_trials(
    recipe: Recipe, folder: Folder, trials: list[Trial], at_once: int
) -> dict[str, dict[str, Any]]:
    """{trial: {query set: {"loss", "accuracy"}}}; those that are done are kept."""
    todo, running = list(trials), dict[Any, Trial]()
    while todo or running:
        while todo and len(running) < at_once:
            trial = todo.pop(0)
            task = _run_trial.remote(recipe, folder / trial.name, trial)
            running[task] = trial
        (finished,), _ = ray.wait(list(running))
        trial = running.pop(finished)
        ray.get(finished)
        left = len(todo) + len(running)
        print(f"{trial.name} is trained, {left} trainings left", flush=True)
    return {
        trial.name: (folder / trial.name).read_json("metrics.json")["queries"]
        for trial in trials
    }


@ray.remote(num_cpus=0, max_retries=0)
def _run_trial(recipe: Recipe, folder: Folder, trial: Trial) -> None:
    """Train with a trial's labels, unless that is done."""
    observe("trial")
    if not folder.exists("metrics.json"):
        seed = {"seed": recipe.train.seed + trial.seed}
        changed = recipe.model_copy(
            update={"train": recipe.train.model_copy(update=seed)}
        )
        fit(changed, folder, trial.edits)
