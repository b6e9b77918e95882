"""The lds benchmark: do scores say what retraining does?

Trains the run's reward model again on parts of its labels, and compares what becomes of
the query labels with what every estimator predicts from the run's sketches.
"""

import math
from typing import Any

import numpy as np

from inflib.benchmarks.estimators import (
    DATAINF,
    Effects,
    effects_of_runs,
    predictions,
    read_runs,
)
from inflib.benchmarks.forward_only import (
    BY_QUERY_MODEL,
    STATES,
    by_query_model,
    by_states,
    trained_on_queries,
)
from inflib.benchmarks.lds_agreement import (
    Outcomes,
    add_aucs,
    between_seeds,
    changes,
    group_slopes,
    scores,
)
from inflib.benchmarks.lds_trials import HALF, Choice, choices
from inflib.config.cli import load
from inflib.config.recipe import Recipe
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import Steps, weighted_labels
from inflib.model.reward_folder import read_margins, trained_steps
from inflib.report.tables import console, table, with_interval
from inflib.scores.inner_products import RunProducts
from inflib.scores.retraining import ALL, Trial
from inflib.shapes.pairs import prompt_of
from inflib.storage.folder import Folder
from ray_jobs.shared.hidden_states import write_activations
from ray_jobs.shared.session import start_ray
from ray_jobs.train import Training
from ray_jobs.trials import Trials, train_all


def lds(
    run: str,
    also: tuple[str, ...],
    query: str | None,
    halves: int,
    seeds: int,
    groups: int,
    curves: bool,
    default: str,
    truth: str | None,
    at_once: int,
) -> dict[str, Any]:
    """Agreement of every estimator with retraining, on one query set of a sketched run.

    also: other sketched runs of the same labels, such as by another checkpoint or seed,
    whose estimators are compared as well; halves, groups, curves: which labels are left
    out, see lds_trials.choices, each with seeds 0 to seeds - 1; default: the estimator
    that others are compared with, and by which labels are harmful; truth: column of
    wrong labels, which adds AUCs; at_once: trainings at a time. Raises ValueError for
    an unknown query set, estimator or column, for fewer than 3 halves, for other labels
    in another run, and for a run whose model was not trained here.
    """
    recipe = load(None, {"run": run})
    start_ray(recipe)
    name = recipe.query_set(query, "--query")
    if halves < 3:
        raise ValueError(f"--halves {halves}: 3 at least have rank correlations")
    steps = trained_steps(recipe)
    if steps is None:
        raise ValueError(f"{run}: its model is not one that `inflib train` made")
    runs = read_runs(recipe, name, also, steps.below)
    products = next(iter(runs.values()))
    found = effects_of_runs(runs, recipe.score.datainf_damping)
    found |= _forward_only(recipe, name, products)
    if default not in found:
        raise ValueError(f"--default {default!r}: there are {', '.join(found)}")
    harm = found[default] @ products.slopes
    labelers = products.columns.get("labeler")
    planned = choices(harm, labelers, halves, groups, curves)
    outcomes = _retrained(recipe, name, products, planned, steps, seeds, at_once)
    kept, flipped = (
        np.stack([getattr(choice, part) for choice in planned])
        for part in ("kept", "flipped")
    )
    predicted = predictions(products, found, kept, flipped)
    kinds = np.array([choice.kind for choice in planned])
    half = kinds == HALF
    prompts = _prompts(recipe, name)[products.in_plan]
    rows = scores(predicted, outcomes, half, prompts, default, products.slopes)
    for row in rows:
        row["groups"] = group_slopes(row["estimator"], predicted, outcomes, kinds)
    add_aucs(rows, found, products, truth)
    result = {
        "run": recipe.run,
        "query": name,
        "labels": products.labels.n,
        "query_labels": len(prompts),
        "halves": halves,
        "seeds": seeds,
        "default": default,
        "accuracy": float((outcomes.all_margins.mean(0) > 0).mean()),
        "between_seeds": between_seeds(outcomes, half),
        "estimators": rows,
        "changes": changes(planned, predicted[default], outcomes, products.slopes),
    }
    _show(result)
    return result


def _forward_only(
    recipe: Recipe, query: str, products: RunProducts
) -> dict[str, Effects]:
    """Effects by hidden states, and by a model trained on the query labels."""
    for adapted in STATES.values():
        write_activations(recipe, adapted)
    query_trained = trained_on_queries(recipe, query)
    folder = Folder(query_trained.run)
    training = Training(query_trained, folder / "reward_model", {})
    train_all([training], 1, folder)
    found = dict(by_states(recipe, query, products))
    found[BY_QUERY_MODEL] = by_query_model(recipe, query_trained, products)
    return found


def _retrained(
    recipe: Recipe,
    query: str,
    products: RunProducts,
    planned: list[Choice],
    steps: Steps,
    seeds: int,
    at_once: int,
) -> Outcomes:
    """Train what is not in the run's bank of retrained models, and read all margins.

    A half gets half of the steps, as many passes over its labels as all labels got; all
    others as many steps as the run's own training.
    """
    ids = products.columns["pair_id"]
    trials, trainings = Trials(recipe), []
    for choice in [Choice(ALL, "", np.ones(len(ids)), np.zeros(len(ids))), *planned]:
        share = choice.kept.mean() if choice.kind == HALF else 1.0
        shortened = Steps(
            math.ceil(steps.planned * share),
            math.ceil(steps.kept * share),
            steps.below,
        )
        edits = choice.edits(ids)
        for seed in range(seeds):
            trial = Trial(choice.kind, seed, seed, edits)
            trainings.append(trials.training(trial, shortened))
    todo = sum(not training.done for training in trainings)
    print(f"lds: {len(trainings)} trainings, {todo} of them to do", flush=True)
    train_all(trainings, at_once, Folder(recipe.run) / "retrained")
    margins = [
        read_margins(training.folder)[query].numpy()[products.in_plan]
        for training in trainings
    ]
    shaped = np.stack(margins).reshape(len(planned) + 1, seeds, -1)
    return Outcomes(shaped[1:], shaped[0], products.query_targets)


def _prompts(recipe: Recipe, query: str) -> np.ndarray:
    """Number of the prompt of each label of a query set that has a weight."""
    labels = weighted_labels(PairsFolder(Folder(recipe.run) / "pairs" / query))
    names = [prompt_of(comparison) for _, comparison in labels]
    return np.unique(names, return_inverse=True)[1]


def _show(result: dict[str, Any]) -> None:
    rows = []
    for row in sorted(result["estimators"], key=lambda row: -row["lds"]["mean"]):
        shown: dict[str, Any] = {"estimator": row["estimator"]}
        for name in ("lds", "lds_of_set"):
            score = row[name]
            shown[name] = with_interval(score["mean"], score["low"], score["high"])
        for kind, facts in row["groups"].items():
            shown[f"slope, {kind}"] = facts["slope"]
        if "auc" in row:
            shown["auc"] = row["auc"]
        rows.append(shown)
    between = result["between_seeds"]
    note = f", two seeds agree by {between:.2f}" if between is not None else ""
    title = f"{result['run']}, {result['query']}: agreement with retraining{note}"
    console().print(table(rows, title))
    ours, datainf = (
        row["lds"]["mean"]
        for name in (result["default"], DATAINF)
        for row in result["estimators"]
        if row["estimator"] == name
    )
    print(f"{result['default']} {ours:.3f}, DataInf {datainf:.3f}")
