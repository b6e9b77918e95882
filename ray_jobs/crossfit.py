"""Judge every label by a model that saw no label on its prompt.

    inflib crossfit --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.crossfit --run s3://bucket/run

Deals the prompts to folds, trains the reward model again without each of them, for as
many steps as the run's own, and has it judge the labels that it did not see. Writes
crossfit/margins.parquet, with which the report knows error rates of labelers, and what
they prefer given quality; influence is not computed again. Models are kept in
retrained/, verify.at_once are trained at a time. Rerun to resume: trainings that are
done are kept.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from inflib.config.recipe import Recipe
from inflib.data.folds import folds_of
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.scores.fair_margins import fair_margins, write_fair_margins
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.report import refresh_page
from ray_jobs.shared.session import run_stages, start_ray
from ray_jobs.shared.stage import Stage
from ray_jobs.trials import Trials, train_all


def crossfit(recipe: Recipe, folds: int = 5) -> dict[str, Any]:
    """Write crossfit/ of a run whose model is trained; returns its record.

    folds: trainings, each without the labels on one in so many prompts. Raises
    ValueError for fewer than two, for too few prompts, and for a run without a model.
    """
    run = Folder(recipe.run)
    if recipe.model.adapter is None and not run.exists("reward_model/metrics.json"):
        raise ValueError(
            f"{run.url}/reward_model is not there: run `inflib train` first"
        )
    for pairs in recipe.prepare.sources:
        PairsFolder(run / "pairs" / pairs).plan()  # raises without one
    train = PairsFolder(run / "pairs" / "train")
    dropped = folds_of(weighted_labels(train), folds)
    trials = Trials(recipe)
    trainings = {
        fold: replace(trials.training(Trial("fold", fold.number, 0, edits)), fold=fold)
        for fold, edits in dropped.items()
    }
    trained = [training.folder.name for training in trainings.values()]
    key = digest_of(folds=folds, trained=trained)
    stage = Stage("crossfit", run / "crossfit")
    if stage.is_current(key) and fair_margins(recipe)[0] is not None:
        return stage.skip()
    todo = sum(not training.done for training in trainings.values())
    print(f"crossfit: {len(trainings)} trainings, {todo} of them to do", flush=True)
    start_ray(recipe)
    train_all(list(trainings.values()), recipe.verify.at_once, run / "retrained")
    models = {fold: training.folder for fold, training in trainings.items()}
    binding = write_fair_margins(recipe, models)
    sizes = [len(edits) for edits in dropped.values()]
    facts = {"folds": len(sizes), "labels_judged": sum(sizes)}
    done = stage.done(facts, binding | {"inputs": key})
    if InfluenceFolder.of(run).is_of(recipe):  # fair margins need no scores
        refresh_page(recipe)
    return done


def job(recipe: Recipe, folds: int) -> Any:
    """crossfit with so many folds."""
    return run_stages(recipe, [partial(crossfit, folds=folds)])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("crossfit")
