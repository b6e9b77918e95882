"""Rated responses to audits of simulated labelers, and to what new weights are worth.

    n  a labeler's labels that count     m  objectives

An expert and each labeler weigh the objectives in a way that is known. Every labeler is
audited in a run of its own; each method proposes new weights, and is measured by how
well labels by these agree with the expert.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from inflib.config.loading import with_fields
from inflib.config.oversight import Method, OversightConfig, SimulationConfig
from inflib.config.recipe import Recipe
from inflib.config.run_config import bind
from inflib.data.output_columns import INFLUENCE
from inflib.detection import layer_choice
from inflib.oversight.experiment import LabelerChoices, ablations, new_weights
from inflib.oversight.expert_weights import agreeing, outcome, svm_weights
from inflib.oversight.labeling import differences, draw_labelers, labelled_lines
from inflib.oversight.rated import RatedPair, read_pairs, stop_at
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.session import start_ray
from ray_jobs.sketch import sketch
from ray_jobs.studies.activation_tasks import layer_detectors
from ray_jobs.studies.labeler_pages import guide
from ray_jobs.studies.subset_scores import subset_scores
from ray_jobs.train import Training, train
from ray_jobs.trials import Trials, train_all

Weights = tuple[float, ...]
"""How much each objective counts."""

_SETTINGS = {"expert", "labelers", "draw", "agreement", "pairs_per_prompt", "seed"}
"""Fields of SimulationConfig that decide which labels are made."""


def write_simulation(recipe: Recipe, config: OversightConfig) -> list[Weights]:
    """Write simulation/: each labeler's training labels, the expert's query labels.

    Returns the labelers' weights. Does nothing where it is complete. Raises ValueError
    for rated responses that cannot be used, for a recipe with model.adapter, and for a
    run folder with another simulation in it.
    """
    simulated = _simulated(recipe)
    folder = Folder(recipe.run) / "simulation"
    settings = {"objectives": list(config.objectives)} | simulated.model_dump(
        mode="json", include=_SETTINGS
    )
    if folder.exists("labelers.json"):
        stored = folder.read_json("labelers.json")
        if stored["settings"] != settings:
            raise ValueError(
                f"{folder.url} was made with {stored['settings']}, not {settings}: "
                "choose another --run, or set oversight back"
            )
        return [tuple(weights) for weights in stored["weights"]]
    if recipe.model.adapter is not None:
        raise ValueError("model.adapter: a simulation trains a model for each labeler")
    pairs = {name: _pairs(recipe, name) for name in recipe.prepare.sources}
    for name, rated_pairs in pairs.items():
        if name != "train":
            expert = simulated.expert
            lines = labelled_lines(
                rated_pairs, config.objectives, expert, expert, "expert"
            )
            folder.write(f"{name}.jsonl", lines.encode())
    labelers = list(simulated.labelers)
    labelers = labelers or draw_labelers(simulated, differences(pairs["train"]))
    for number, weights in enumerate(labelers):
        _write_labels(recipe, str(number), weights, pairs["train"])
    folder.write_json("labelers.json", {"settings": settings, "weights": labelers})
    return labelers


@dataclass(frozen=True)
class LabelerAudit:
    """A labeler's run, scored, and the weights that each method proposes."""

    recipe: Recipe
    before: Weights
    """The weights by which the labeler labelled."""

    labels: LabelerChoices
    influence: np.ndarray
    """[n] of each label on the expert's query set."""

    weights: dict[Method, np.ndarray]
    """New weights [m] by every method."""


def audit_labelers(recipe: Recipe, labelers: list[Weights]) -> list[LabelerAudit]:
    """Audits of all labelers, each in a run of its own; their trainings share Ray."""
    recipes = [_labeler_recipe(recipe, str(number)) for number in range(len(labelers))]
    for labeler_recipe in recipes:
        prepare(labeler_recipe)
    start_ray(recipe)
    trainings = [Training(r, Folder(r.run) / "reward_model", {}) for r in recipes]
    train_all(trainings, recipe.verify.at_once, Folder(recipe.run) / "labelers")
    seed = _simulated(recipe).seed
    return [
        _audit(recipes[number], before, seed + number)
        for number, before in enumerate(labelers)
    ]


def _audit(recipe: Recipe, before: Weights, seed: int) -> LabelerAudit:
    """Finish a labeler's run; seed: of the method `random`."""
    for stage in (train, sketch, score, guide):
        stage(recipe)
    labels, suspicion = _suspicion(recipe)
    weights = new_weights(labels, suspicion, seed)
    return LabelerAudit(recipe, before, labels, suspicion["influence"], weights)


def retrained_accuracies(
    recipe: Recipe, audits: list[LabelerAudit]
) -> list[dict[Method, float]]:
    """{method: accuracy of a reward model trained with its labels}, for each labeler.

    Of the methods in oversight.simulate.retrain, on the expert's test set.
    """
    trainings = {
        (number, method): _updated(audit, weights)
        for number, audit in enumerate(audits)
        for method, weights in audit.weights.items()
        if method in _simulated(audit.recipe).retrain
    }
    models = list(trainings.values())
    results = train_all(models, recipe.verify.at_once, Folder(recipe.run) / "labelers")
    accuracies: list[dict[Method, float]] = [{} for _ in audits]
    for (number, method), metrics in zip(trainings, results, strict=True):
        accuracies[number][method] = metrics[_test(audits[number].recipe)]["accuracy"]
    return accuracies


def _updated(audit: LabelerAudit, weights: np.ndarray) -> Training:
    """A training with the labels that these weights give, evaluated on the test set."""
    recipe, test = audit.recipe, _test(audit.recipe)
    only = {"queries": {test: recipe.prepare.queries[test]}}  # the others take time
    prepared = recipe.prepare.model_copy(update=only)
    tested = recipe.model_copy(update={"prepare": prepared})
    trial = Trial("updated", 0, 0, audit.labels.edits(weights))
    return Trials(tested).training(trial)


def outcomes(
    recipe: Recipe, number: int, audit: LabelerAudit, accuracy: dict[Method, float]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """({method: metrics before and after, weights}, rows of ablations) of a labeler.

    accuracy: of the models trained with each method's labels.
    """
    simulated, labels = _simulated(recipe), audit.labels
    expert = np.array(simulated.expert)
    before = outcome(np.array(audit.before), expert, labels.first_minus_second)
    before["rm_accuracy"] = _accuracy(audit.recipe)
    methods: dict[str, Any] = {}
    after_influence: dict[str, Any] = {}
    for method, weights in audit.weights.items():
        after = outcome(weights, expert, labels.first_minus_second)
        if method in accuracy:
            after["rm_accuracy"] = accuracy[method]
        if method == "influence":
            after_influence = after
        metrics = {f"{metric}_before": before[metric] for metric in after}
        metrics |= {f"{metric}_after": value for metric, value in after.items()}
        methods[method] = metrics | {"weights": weights.tolist()}
    query = _query(audit.recipe)
    sizes, scores = subset_scores(
        audit.recipe, query, simulated.sizes, simulated.repeats, simulated.seed
    )
    rows = ablations(simulated, labels, audit.influence, sizes, scores)
    later = _more_updates(recipe, number, audit.weights["influence"], labels)
    updates = [before, after_influence, *later]
    return methods, rows + [
        {"field": "updates", "value": i} | metrics for i, metrics in enumerate(updates)
    ]


def _more_updates(
    recipe: Recipe, number: int, weights: np.ndarray, labels: LabelerChoices
) -> list[dict[str, Any]]:
    """Metrics after the second update by influence, and after each later one.

    Each update uses the influence in a model that was trained with the labels of the
    update before. weights: those after the first update; number: the labeler's.
    """
    simulated, rows = _simulated(recipe), list[dict[str, Any]]()
    if simulated.rounds == 1:
        return rows
    for update in range(1, simulated.rounds + 1):
        name = f"{number}-update-{update}"
        folder = Folder(recipe.run) / "simulation"
        if not folder.exists(f"labeler-{name}.jsonl"):
            pairs = _pairs(recipe, "train")
            _write_labels(recipe, name, tuple(weights.tolist()), pairs)
        labeler_recipe = _labeler_recipe(recipe, name)
        prepare(labeler_recipe)
        train(labeler_recipe)
        if update > 1:
            metrics = outcome(
                weights, np.array(simulated.expert), labels.first_minus_second
            )
            rows.append(metrics | {"rm_accuracy": _accuracy(labeler_recipe)})
        if update < simulated.rounds:
            sketch(labeler_recipe)
            score(labeler_recipe)
            updated_labels, influence = _influence(labeler_recipe)
            weights = svm_weights(updated_labels.differences, agreeing(influence))
    return rows


def _suspicion(recipe: Recipe) -> tuple[LabelerChoices, dict[str, np.ndarray]]:
    """(labels that count, {method: [n], higher where the expert may disagree})."""
    labels, influence = _influence(recipe)
    suspicion = {"influence": influence}
    if recipe.bias.activations:
        _, counts = InfluenceFolder.of(Folder(recipe.run)).counted()
        rows = [r for r in layer_detectors(recipe) if r["query"] == _query(recipe)]
        scores, _, _ = layer_choice.choose(rows, counts, labels.disagrees)
        suspicion |= {name: scores[name] for name in ("mahalanobis", "knn")}
    return labels, suspicion


def _influence(recipe: Recipe) -> tuple[LabelerChoices, np.ndarray]:
    """(labels that count, their influence [n] on the expert's query set)."""
    assert recipe.oversight is not None
    table, _ = InfluenceFolder.of(Folder(recipe.run)).counted()
    labels = LabelerChoices.read(table, recipe.oversight.objectives)
    column = INFLUENCE.of(recipe.score.reported, _query(recipe))
    return labels, table[column].to_numpy()


def _accuracy(recipe: Recipe) -> float:
    """Accuracy of a run's reward model on the expert's labels of the test set."""
    metrics = (Folder(recipe.run) / "reward_model").read_json("metrics.json")
    return metrics["queries"][_test(recipe)]["accuracy"]


def _labeler_recipe(recipe: Recipe, name: str) -> Recipe:
    """The audit of one labeler's labels, bound to a run folder of its own."""
    run = Folder(recipe.run)
    simulation = (run / "simulation").url
    changes: dict[str, Any] = {"run": (run / "labelers" / name).url}
    changes["prepare.train"] = {"path": f"{simulation}/labeler-{name}.jsonl"}
    for query in recipe.prepare.queries:
        changes[f"prepare.queries.{query}"] = {"path": f"{simulation}/{query}.jsonl"}
    labeler_recipe = with_fields(recipe, changes, f"labeler {name}")
    bind(labeler_recipe)
    return labeler_recipe


def _write_labels(
    recipe: Recipe, name: str, weights: Weights, pairs: list[RatedPair]
) -> None:
    """Write a labeler's labels of these pairs to simulation/."""
    assert recipe.oversight is not None
    expert, objectives = _simulated(recipe).expert, recipe.oversight.objectives
    lines = labelled_lines(pairs, objectives, weights, expert, f"labeler-{name}")
    folder = Folder(recipe.run) / "simulation"
    folder.write(f"labeler-{name}.jsonl", lines.encode())


def _pairs(recipe: Recipe, name: str) -> list[RatedPair]:
    """Pairs of rated responses of a pair set. Raises ValueError as the recipe says."""
    assert recipe.oversight is not None
    config, objectives = _simulated(recipe), recipe.oversight.objectives
    source = recipe.prepare.sources[name]
    pairs, bad = read_pairs(source, objectives, config.pairs_per_prompt, config.seed)
    if recipe.prepare.on_bad_rows == "stop":
        stop_at(bad)
    print(f"simulation: {name}: {len(pairs)} pairs, {len(bad)} bad rows", flush=True)
    return pairs


def _simulated(recipe: Recipe) -> SimulationConfig:
    """The recipe's section oversight.simulate, which is there."""
    assert recipe.oversight is not None and recipe.oversight.simulate is not None
    return recipe.oversight.simulate


def _query(recipe: Recipe) -> str:
    """Name of the expert's query set."""
    assert recipe.oversight is not None
    return recipe.query_set(recipe.oversight.query, "oversight.query")


def _test(recipe: Recipe) -> str:
    """Name of the query set on which reward models are compared."""
    name = _simulated(recipe).test or list(recipe.prepare.queries)[-1]
    return recipe.query_set(name, "oversight.simulate.test")
