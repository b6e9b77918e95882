"""Retrain with labels dropped or flipped, or with decisions: does it help?

    inflib verify --run runs/demo
    inflib verify --run runs/demo --decisions decisions.csv
    ray job submit --working-dir . -- python -m ray_jobs.verify --run s3://bucket/run

Trains the reward model with all labels, with the most harmful ones dropped or flipped,
and with as many random ones dropped or flipped, each over several seeds. Then it trains
without one group of labels at a time and without random halves, and compares how much
the query loss changes with the predictions. With --decisions, it trains with all
labels, with exactly these decisions, and with the same done to as many random labels.
Writes loss and accuracy on every query set to verify/verify.json, or
verify/decisions/verify.json. Rerun to resume: trainings that are done are kept.
"""

from collections import Counter
from functools import partial
from typing import Any

import pyarrow as pa

from inflib.audited_run import AuditedRun
from inflib.config.recipe import Recipe
from inflib.data.decisions import edits_of
from inflib.data.label_edits import Edits
from inflib.data.training_plan import Holdout
from inflib.model.reward_folder import trained_steps
from inflib.report.study_console import show_verdicts, show_verification
from inflib.report.tables import console
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.retraining import (
    Trial,
    effects_of_trials,
    plan_decided,
    plan_trials,
)
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.report import refresh_page
from ray_jobs.shared.session import run_stages, start_ray
from ray_jobs.shared.stage import Stage
from ray_jobs.trials import Trials, train_all


def verify(recipe: Recipe) -> dict[str, Any]:
    """Write verify/verify.json of a scored run; returns it.

    Raises ValueError when the scores are not of the run's labels, sketches or settings.
    """
    influence = InfluenceFolder.current(recipe)
    query = recipe.query_set(recipe.verify.query, "verify.query")
    settings = recipe.verify.model_dump(exclude={"at_once"}) | {"query": query}
    score = f"{recipe.score.reported}_{query}"
    trained = _trained(recipe, influence.table)
    trials = plan_trials(recipe.verify, trained, score)
    facts = {"query": query, "share": recipe.verify.share}
    folder = Folder(recipe.run) / "verify"
    return _verify(recipe, influence, trials, folder, settings, facts)


def verify_decisions(recipe: Recipe, decisions: str) -> dict[str, Any]:
    """Write verify/decisions/verify.json of a scored run; returns it.

    decisions: path of a decisions.csv. Raises ValueError naming a label that the run
    does not have, and like `verify`.
    """
    run = AuditedRun(recipe)
    edits = edits_of(run.decisions(decisions))
    if not edits:
        raise ValueError(f"{decisions}: no label is changed, all are kept")
    show_verdicts(run.folder, console())
    query = recipe.query_set(recipe.verify.query, "verify.query")
    seeds = recipe.verify.seeds
    trained = _trained(recipe, run.labels)
    ids = set(trained["pair_id"].to_pylist())
    counts = Counter(edit.action for edit in edits.values())
    settings = {"edits": {k: vars(edit) for k, edit in edits.items()}, "seeds": seeds}
    used = {name: edit for name, edit in edits.items() if name in ids}
    if not used:
        raise ValueError(f"{decisions}: all of its labels are held out of training")
    trials = plan_decided(seeds, trained, run.score(query), used)
    held_out = len(edits) - len(used)
    facts: dict[str, Any] = {"query": query, "file": decisions, "held_out": held_out}
    facts["counts"] = dict(counts)
    if held_out:
        print(f"verify: {held_out} of the labels decided are held out of training")
    folder = run.folder / "verify" / "decisions"
    return _verify(recipe, run.influence, trials, folder, settings, facts)


def _verify(
    recipe: Recipe,
    influence: InfluenceFolder,
    trials: list[Trial],
    folder: Folder,
    settings: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Run the trials and write verify.json into the folder; returns it.

    settings: what the trials depend on beside the scores; facts: added to verify.json.
    """
    run = Folder(recipe.run)
    of_run = Trials(recipe)
    trainings = [of_run.training(trial) for trial in trials]
    trained = [training.folder.name for training in trainings]
    key = digest_of(scores=influence.record.inputs, trained=trained, **settings)
    stage = Stage("verify", folder)
    if stage.is_current(key):
        stage.skip()
        summary = stage.folder.read_json("verify.json")
        show_verification(summary, console())
        return summary
    print(f"verify: {len(trials)} trainings{_time_of_one(run)}", flush=True)
    start_ray(recipe)
    results = train_all(trainings, recipe.verify.at_once, run / "retrained")
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
    summary = facts | {"scores": influence.record.inputs, "sets": sets}
    stage.folder.write_json("verify.json", summary)
    show_verification(summary, console())
    stage.done({"trainings": len(trials)}, {"inputs": key})
    refresh_page(recipe)
    return summary


def _trained(recipe: Recipe, table: pa.Table) -> pa.Table:
    """The rows of influence.parquet whose labels the run's model was trained on, or all
    where that is not known: edits of others change no training."""
    steps = trained_steps(recipe)
    holdout = Holdout(steps.below if steps else 0.0)
    keep = [name not in holdout for name in table["comparison_id"].to_pylist()]
    return table.filter(pa.array(keep, pa.bool_()))


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


def job(recipe: Recipe, decisions: str | None) -> Any:
    """verify, or verify_decisions where there are some."""
    if decisions is None:
        return run_stages(recipe, [verify])
    return run_stages(recipe, [partial(verify_decisions, decisions=decisions)])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("verify")
