"""Simulated labelers, each audited in a run of its own: what new weights are worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from inflib.config.loading import bind, with_fields
from inflib.config.oversight import Method, OversightConfig, SimulationConfig
from inflib.config.recipe import Recipe
from inflib.data.output_columns import INFLUENCE
from inflib.detection import layer_choice
from inflib.oversight.experiment import LabelerChoices, ablations, new_weights
from inflib.oversight.expert_weights import agreeing, direction, outcome
from inflib.oversight.labeling import differences, draw_labelers, labelled_lines
from inflib.oversight.rated import RatedPair, read_pairs, stop_at
from inflib.scores.influence_folder import InfluenceFolder
from inflib.scores.retraining import Trial
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.session import start_ray
from ray_jobs.sketch import sketch
from ray_jobs.studies.activation_tasks import layer_detectors, write_activations
from ray_jobs.studies.labeler_pages import guide
from ray_jobs.studies.subset_scores import subset_scores
from ray_jobs.studies.trials import of_trial, train_all
from ray_jobs.train import Training, train

Weights = tuple[float, ...]

_SETTINGS = {"expert", "labelers", "draw", "agreement", "pairs_per_prompt", "seed"}
"""Fields that decide what is simulated."""


def write_simulation(recipe: Recipe, config: OversightConfig) -> list[Weights]:
    """Write simulation/: preference data of every labeler, of the expert for every
    query set; returns the labelers' weights.

    Raises ValueError for rated responses that cannot be used, and for a run folder
    with another simulation in it.
    """
    simulated = _simulated(recipe)
    folder = Folder(recipe.run) / "simulation"
    settings = {"objectives": list(config.objectives)} | simulated.model_dump(
        mode="json", include=_SETTINGS
    )
    if folder.exists("labelers.json"):
        found = folder.read_json("labelers.json")
        if found["settings"] != settings:
            raise ValueError(
                f"{folder.url} was made with {found['settings']}, not {settings}: "
                "choose another --run, or set oversight back"
            )
        return [tuple(weights) for weights in found["weights"]]
    if recipe.model.adapter is not None:
        raise ValueError("model.adapter: a simulation trains a model for each labeler")
    pairs = {name: _pairs(recipe, name) for name in recipe.prepare.sources}
    for name, own in pairs.items():
        if name != "train":
            made = labelled_lines(
                own, config.objectives, simulated.expert, simulated.expert, "expert"
            )
            folder.write(f"{name}.jsonl", made.encode())
    weights = list(simulated.labelers)
    weights = weights or draw_labelers(simulated, differences(pairs["train"]))
    for number, each in enumerate(weights):
        _write_labels(recipe, str(number), each, pairs["train"])
    folder.write_json("labelers.json", {"settings": settings, "weights": weights})
    return weights


@dataclass(frozen=True)
class Audited:
    """A labeler's run, scored, and the weights that each method gives."""

    recipe: Recipe
    before: Weights
    """The labeler's own."""

    labels: LabelerChoices
    influence: np.ndarray
    weights: dict[Method, np.ndarray]


def audit_labelers(recipe: Recipe, labelers: list[Weights]) -> list[Audited]:
    """The run of every labeler, their trainings several at once."""
    runs = [_labeler_recipe(recipe, str(number)) for number in range(len(labelers))]
    for own in runs:
        prepare(own)
    start_ray(recipe)
    models = [Training(own, Folder(own.run) / "reward_model", {}) for own in runs]
    train_all(models, recipe.verify.at_once, Folder(recipe.run) / "labelers")
    return [
        _audit(own, before, _simulated(recipe).seed + number)
        for number, (own, before) in enumerate(zip(runs, labelers, strict=True))
    ]


def _audit(own: Recipe, before: Weights, seed: int) -> Audited:
    for stage in (train, sketch, score, guide):
        stage(own)
    labels, suspicion = _suspicion(own)
    weights = new_weights(labels, suspicion, seed)
    return Audited(own, before, labels, suspicion["influence"], weights)


def retrained(recipe: Recipe, audits: list[Audited]) -> list[dict[Method, float]]:
    """For every labeler: accuracy of models trained with each method's labels."""
    trainings = {
        (number, method): _updated(each, weights)
        for number, each in enumerate(audits)
        for method, weights in each.weights.items()
        if method in _simulated(each.recipe).retrain
    }
    models = list(trainings.values())
    results = train_all(models, recipe.verify.at_once, Folder(recipe.run) / "labelers")
    rows: list[dict[Method, float]] = [{} for _ in audits]
    for (number, method), result in zip(trainings, results, strict=True):
        rows[number][method] = result[_test(audits[number].recipe)]["accuracy"]
    return rows


def _updated(audited: Audited, weights: np.ndarray) -> Training:
    own, test = audited.recipe, _test(audited.recipe)
    only = {"queries": {test: own.prepare.queries[test]}}  # the others take time
    tested = own.model_copy(update={"prepare": own.prepare.model_copy(update=only)})
    trial = Trial("updated", 0, 0, audited.labels.edits(weights))
    return of_trial(tested, Folder(own.run) / "retrained", trial)


def outcomes(
    recipe: Recipe, number: int, audited: Audited, accuracy: dict[Method, float]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """({method: figures}, rows of ablations) of a labeler.

    accuracy: of the models trained with each method's labels.
    """
    simulated, own, labels = _simulated(recipe), audited.recipe, audited.labels
    expert = np.array(simulated.expert)
    start = outcome(np.array(audited.before), expert, labels.apart)
    start["rm_accuracy"] = _accuracy(own)
    methods: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for method, new in audited.weights.items():
        end = outcome(new, expert, labels.apart)
        if method in accuracy:
            end["rm_accuracy"] = accuracy[method]
        if method == "influence":
            first = end
        figures = {f"{figure}_before": start[figure] for figure in end}
        figures |= {f"{figure}_after": value for figure, value in end.items()}
        methods[method] = figures | {"weights": new.tolist()}
    asked = simulated.sizes, simulated.repeats, simulated.seed
    sizes, parts = subset_scores(own, _query(own), *asked)
    swept = ablations(simulated, labels, audited.influence, sizes, parts)
    more = _more_updates(recipe, number, audited.weights["influence"], labels)
    done = [start, first, *more]
    return methods, swept + [
        {"field": "updates", "value": i} | row for i, row in enumerate(done)
    ]


def _more_updates(
    recipe: Recipe, number: int, weights: np.ndarray, labels: LabelerChoices
) -> list[dict[str, Any]]:
    """Outcomes of the second update and those after it, each from the influence in a
    model that was trained with the labels of the one before.

    weights: after the first update.
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
        own = _labeler_recipe(recipe, name)
        prepare(own)
        train(own)
        if update > 1:
            found = outcome(weights, np.array(simulated.expert), labels.apart)
            rows.append(found | {"rm_accuracy": _accuracy(own)})
        if update < simulated.rounds:
            sketch(own)
            score(own)
            after, influence = _influence(own)
            weights = direction(after.differences, agreeing(influence))
    return rows


def _suspicion(own: Recipe) -> tuple[LabelerChoices, dict[str, np.ndarray]]:
    """(labels that count, by method how likely the expert is to disagree)."""
    labels, influence = _influence(own)
    found = {"influence": influence}
    if own.bias.activations:
        write_activations(own)
        _, counts = InfluenceFolder.of(Folder(own.run)).counted()
        rows = [r for r in layer_detectors(own) if r["query"] == _query(own)]
        scores, _, _ = layer_choice.choose(rows, counts, labels.disagrees)
        found |= {name: scores[name] for name in ("mahalanobis", "knn")}
    return labels, found


def _influence(own: Recipe) -> tuple[LabelerChoices, np.ndarray]:
    assert own.oversight is not None
    table, _ = InfluenceFolder.of(Folder(own.run)).counted()
    column = INFLUENCE.of(own.score.reported, _query(own))
    return LabelerChoices.read(table, own.oversight.objectives), table[
        column
    ].to_numpy()


def _accuracy(own: Recipe) -> float:
    """On the expert's labels of the test set."""
    metrics = (Folder(own.run) / "reward_model").read_json("metrics.json")
    return metrics["queries"][_test(own)]["accuracy"]


def _labeler_recipe(recipe: Recipe, name: str) -> Recipe:
    """The audit of one labeler's labels, in a run folder of its own."""
    run = Folder(recipe.run)
    made = run / "simulation"
    changes: dict[str, Any] = {"run": (run / "labelers" / name).url}
    changes["prepare.train"] = {"path": f"{made.url}/labeler-{name}.jsonl"}
    for query in recipe.prepare.queries:
        changes[f"prepare.queries.{query}"] = {"path": f"{made.url}/{query}.jsonl"}
    own = with_fields(recipe, changes, f"labeler {name}")
    bind(own)
    return own


def _write_labels(
    recipe: Recipe, name: str, weights: Weights, pairs: list[RatedPair]
) -> None:
    assert recipe.oversight is not None
    expert, objectives = _simulated(recipe).expert, recipe.oversight.objectives
    made = labelled_lines(pairs, objectives, weights, expert, f"labeler-{name}")
    folder = Folder(recipe.run) / "simulation"
    folder.write(f"labeler-{name}.jsonl", made.encode())


def _pairs(recipe: Recipe, name: str) -> list[RatedPair]:
    assert recipe.oversight is not None
    simulated, source = _simulated(recipe), recipe.prepare.sources[name]
    asked = recipe.oversight.objectives, simulated.pairs_per_prompt, simulated.seed
    pairs, bad = read_pairs(source, *asked)
    if recipe.prepare.on_bad_rows == "stop":
        stop_at(bad)
    print(f"simulation: {name}: {len(pairs)} pairs, {len(bad)} bad rows", flush=True)
    return pairs


def _simulated(recipe: Recipe) -> SimulationConfig:
    assert recipe.oversight is not None and recipe.oversight.simulate is not None
    return recipe.oversight.simulate


def _query(recipe: Recipe) -> str:
    assert recipe.oversight is not None
    return recipe.query_set(recipe.oversight.query, "oversight.query")


def _test(recipe: Recipe) -> str:
    names = list(recipe.prepare.queries)
    asked = _simulated(recipe).test or names[-1]
    return recipe.query_set(asked, "oversight.simulate.test")
