"""Retrain with labels dropped or flipped: do the scores hold?

    inflib verify --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.verify --run s3://bucket/run

Trains the reward model with all labels, with the most harmful ones dropped or flipped,
and with as many random ones dropped or flipped, each over several seeds. Then it trains
without one group of labels at a time and without random halves, and compares how much
the query loss changes with the predictions. Writes loss and accuracy on every query set
to verify/verify.json. Rerun to resume: trainings that are done are kept.
"""

from typing import Any

from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edits
from inflib.report.study_console import show_verification
from inflib.report.tables import console
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.retraining import effects_of_trials, plan_trials
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.report import refresh_page
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage
from ray_jobs.studies.trials import train_all, trial_training


def verify(recipe: Recipe) -> dict[str, Any]:
    """Write verify/verify.json of a scored run; returns it.

    Raises ValueError when the scores are not of the run's labels, sketches or settings.
    """
    run = Folder(recipe.run)
    influence = InfluenceFolder.current(recipe)
    query = recipe.query_set(recipe.verify.query, "verify.query")
    settings = recipe.verify.model_dump(exclude={"at_once"}) | {"query": query}
    # Trials are compared with each other, and a GPU draws another dropout.
    on_gpu = {"gpu": True} if recipe.train.gpus_per_worker else {}
    seed = recipe.train.seed
    trained = digest_of(scores=influence.record.inputs, train=seed, **on_gpu)
    key = digest_of(trained=trained, **settings)
    stage = Stage("verify", run / "verify")
    if stage.is_current(key):
        stage.skip()
        return stage.folder.read_json("verify.json")
    score = f"{recipe.score.reported}_{query}"
    trials = plan_trials(recipe.verify, influence.table, score)
    print(f"verify: {len(trials)} trainings{_time_of_one(run)}", flush=True)
    start_ray(recipe)
    target = stage.folder / trained
    trainings = [trial_training(recipe, target, trial) for trial in trials]
    results = train_all(trainings, recipe.verify.at_once, stage.folder)
    measured = {trial.name: row for trial, row in zip(trials, results, strict=True)}
    predicted = {t.name: _predicted(recipe, influence, t.edits) for t in trials}
    sets = {
        name: effects_of_trials(
            trials,
            {trial: _scored_loss(recipe, row[name]) for trial, row in measured.items()},
            {trial: changes.get(name, 0.0) for trial, changes in predicted.items()},
        )
        for name in recipe.prepare.queries
    }
    summary = {"query": query, "share": recipe.verify.share, "sets": sets}
    stage.folder.write_json("verify.json", summary)
    show_verification(summary, console())
    stage.done({"trainings": len(trials)}, {"inputs": key})
    refresh_page(recipe)
    return summary


def _time_of_one(run: Folder) -> str:
    """How long the run's own training took, where it was trained here."""
    if not run.exists("reward_model/done.json"):
        return ""
    seconds = run.read_json("reward_model/done.json")["seconds"]
    return f"; the run's own took {seconds:.0f} s"


def _scored_loss(recipe: Recipe, metrics: dict[str, float]) -> dict[str, float]:
    """Metrics of a model on a query set, with `loss` the one that influence is of."""
    if recipe.score.query_loss == "margin":
        return metrics | {"loss": -metrics["margin"]}
    return metrics


def _predicted(
    recipe: Recipe, influence: InfluenceFolder, edits: Edits
) -> dict[str, float]:
    """{query set: predicted change of its mean loss}; empty without edits."""
    if not edits:
        return {}
    return {
        row["query"]: row["change_of_query_loss"]
        for row in predict(recipe, influence, edits)
        if row["edits"] == "all"
    }


STAGES = [verify]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("verify")
