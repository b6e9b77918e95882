"""Does acting on the scores help? Retrains the reward model with labels changed.

    inflib verify --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.verify --run s3://bucket/run

Trains with the most harmful labels dropped and flipped, with as many random ones
dropped and flipped, and with all, over several seeds; and with groups and random halves
dropped, whose changes of the query loss are compared with the predicted ones. Reports
loss and accuracy on every query set, into verify/. Rerun to resume: trainings that are
done are kept.
"""

from typing import Any

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edits
from inflib.report.console import show_verification
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.retraining import compare, plan_trials
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.shared.session import Stage, start_ray
from ray_jobs.studies.trials import of_trial, train_all


def verify(recipe: Recipe) -> dict[str, Any]:
    """Write verify/verify.json of a run whose labels are scored; returns it."""
    run = Folder(recipe.run)
    influence = InfluenceFolder.current(recipe)
    query = recipe.query_set(recipe.verify.query, "verify.query")
    settings = recipe.verify.model_dump(exclude={"at_once"}) | {"query": query}
    trained = digest_of(scores=influence.record.inputs, train=recipe.train.seed)
    key = digest_of(trained=trained, **settings)
    stage = Stage("verify", run / "verify")
    if stage.is_current(key):
        stage.skip()
        return stage.folder.read_json("verify.json")
    score = f"{recipe.score.reported}_{query}"
    trials = plan_trials(recipe.verify, influence.table, score)
    print(f"verify: {len(trials)} trainings", flush=True)
    start_ray(recipe)
    target = stage.folder / trained
    trainings = [of_trial(recipe, target, trial) for trial in trials]
    results = train_all(trainings, recipe.verify.at_once, stage.folder)
    found = {trial.name: row for trial, row in zip(trials, results, strict=True)}
    predictions = {t.name: _predicted(recipe, influence, t.edits) for t in trials}
    figures = {
        name: compare(
            trials,
            {trial: _figures(recipe, sets[name]) for trial, sets in found.items()},
            {trial: changes.get(name, 0.0) for trial, changes in predictions.items()},
        )
        for name in recipe.prepare.queries
    }
    summary = {"query": query, "share": recipe.verify.share, "sets": figures}
    stage.folder.write_json("verify.json", summary)
    show_verification(summary, Console())
    stage.done({"trainings": len(trials)}, {"inputs": key})
    return summary


def _figures(recipe: Recipe, measured: dict[str, float]) -> dict[str, float]:
    """Accuracy, and the loss that scores are of."""
    if recipe.score.query_loss == "margin":
        return measured | {"loss": -measured["margin"]}
    return measured


def _predicted(
    recipe: Recipe, influence: InfluenceFolder, edits: Edits
) -> dict[str, float]:
    """{query set: predicted change of its loss}."""
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
