"""Compare detectors of labels that were planted wrong.

    inflib bias-study --config recipes/bias_demo.yaml
    ray job submit --working-dir . -- python -m ray_jobs.detect_bias --config ...

Runs the audit's stages on labels of which some are planted wrong, and measures how well
influence, baselines on margins, lengths and hidden states, and LLM judges find these
(AUC, average precision, TNR80, with 95% intervals). Writes bias/: metrics.json,
metrics.csv, ablations.json, examples.html and figures/. Rerun to resume.

After "Understanding Impact of Human Feedback via Influence Functions", section 5.1.
"""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.output_columns import INFLUENCE
from inflib.data.ratings import read_choices
from inflib.detection import detector_plots, detector_table, layer_choice
from inflib.detection.examples import examples_page
from inflib.files.paths import find_files, fingerprint, shortest_names
from inflib.numerics.ranking import METRICS
from inflib.report.study_console import show_bias
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.sketch_set import SketchSet
from inflib.storage.folder import Folder
from inflib.storage.plain_text import csv_text
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.hidden_states import write_activations
from ray_jobs.shared.stage import Stage
from ray_jobs.sketch import sketch
from ray_jobs.studies.activation_tasks import layer_detectors
from ray_jobs.studies.bias_ablations import field_ablation, size_ablation
from ray_jobs.train import train

DRAWN = (
    "self_confidence_low",
    "entropy_high",
    "mahalanobis",
    "knn",
    "length_difference",
    "rating_difference",
)
"""Detectors in the figures, beside influence by the reported curvature and judges."""


def detect(recipe: Recipe) -> dict[str, Any]:
    """Write bias/ of a scored run; returns {query set: {detector: metrics}}.

    Raises ValueError when bias.truth is no column that tells wrong labels from right
    ones, or the scores are not of the run's labels, sketches or settings.
    """
    run = Folder(recipe.run)
    stage = Stage("bias", run / "bias")
    influence = InfluenceFolder.current(recipe)
    inputs = inputs_of(recipe, influence.record.inputs)
    if stage.is_current(inputs):
        stage.skip(f"complete, see {stage.folder.url}/metrics.json")
        return stage.folder.read_json("metrics.json")
    labels, counts = influence.counted()
    wrong = detector_table.truth_of(recipe, labels)
    choices = {name: read_choices(file) for file, name in judge_files(recipe).items()}
    reference = f"influence_{recipe.score.reported}"
    about: dict[str, Any] = {
        "labels": len(labels),
        "planted_wrong": int(wrong.sum()),
        "accuracy": {
            pairs: round(SketchSet(run, pairs).chosen_margins().accuracy, 4)
            for pairs in recipe.prepare.sources
        },
        "reference": reference,
        "judges": detector_table.judge_points(choices, labels, wrong),
    }
    scores, sweeps = _scores(recipe, labels, counts, wrong, reference)
    metrics = {
        query: detector_table.detection_metrics(
            recipe.bias, by_detector, wrong, reference
        )
        for query, by_detector in scores.items()
    }
    sizes, fields = size_ablation(recipe, wrong), field_ablation(recipe)
    ablations = {"query_size": sizes, "fields": fields, "layers": sweeps}
    stage.folder.write_json("about.json", about)
    stage.folder.write_json("metrics.json", metrics)
    stage.folder.write("metrics.csv", _csv(metrics).encode())
    stage.folder.write_json("ablations.json", ablations)
    columns = {query: INFLUENCE.of(recipe.score.reported, query) for query in metrics}
    page = examples_page(run, labels, columns, wrong, recipe.bias.examples)
    stage.folder.write("examples.html", page.encode())
    figures = stage.folder / "figures"
    names = [name for name in (reference, *DRAWN) if name in scores[next(iter(scores))]]
    for query, by_detector in scores.items():
        drawn = {name: by_detector[name] for name in names if name in by_detector}
        detector_plots.draw_curves(figures, query, drawn, wrong, about["judges"])
    detector_plots.draw_query_sets(figures, metrics, names)
    detector_plots.draw_sizes(figures, sizes)
    detector_plots.draw_ablations(figures, fields)
    show_bias(about, metrics, Console(width=110))
    stage.done({"labels": len(labels)}, {"inputs": inputs})
    return metrics


def inputs_of(recipe: Recipe, scores: str) -> str:
    """Digest of all that decides the results. scores: digest of the scores."""
    choices = {file: fingerprint(file) for file in judge_files(recipe)}
    return digest_of(scores=scores, bias=recipe.bias.model_dump(), choices=choices)


def judge_files(recipe: Recipe) -> dict[str, str]:
    """{file of bias.choices: the judge's name}. Raises FileNotFoundError naming one
    that is not there."""
    return shortest_names(find_files(recipe.bias.choices))


def _scores(
    recipe: Recipe, labels: Any, counts: Any, wrong: Any, reference: str
) -> tuple[dict[str, detector_table.Scores], dict[str, Any]]:
    """({query set: {detector: scores}}, {query set: choice of layer and k}).

    The choice is {"places": the layers and k chosen, "sweep": the AUCs of all of them}.
    """
    by_layer = layer_detectors(recipe) if recipe.bias.activations else []
    scores, sweeps = {}, {}
    for query in recipe.prepare.queries:
        detectors = detector_table.detector_scores(recipe, labels, query)
        influence_and_length = [detectors[reference], detectors["length_difference"]]
        detectors[detector_table.COMBINED] = detector_table.combined(
            recipe.bias, influence_and_length, wrong
        )
        layer_rows = [row for row in by_layer if row["query"] == query]
        if layer_rows:
            chosen, places, sweep = layer_choice.choose(layer_rows, counts, wrong)
            detectors |= chosen
            sweeps[query] = {"places": places, "sweep": sweep}
        scores[query] = detectors
    return scores, sweeps


def _csv(metrics: dict[str, dict[str, dict[str, Any]]]) -> str:
    """{query set: {detector: metrics}} as CSV, one row per query set and detector."""
    names = [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    header = ["query", "detector", *names, "p_below_reference"]
    rows = []
    for query, by_detector in metrics.items():
        for detector, row in by_detector.items():
            p = row.get("below_reference", {}).get("p", "")
            rows.append([query, detector, *(row[name] for name in names), p])
    return csv_text(header, rows)


def activations(recipe: Recipe) -> None:
    """Write activations/, if the recipe has detectors on hidden states."""
    if recipe.bias.activations:
        write_activations(recipe)


STAGES: list[Callable[[Recipe], Any]] = [
    prepare,
    train,
    sketch,
    score,
    activations,
    detect,
]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("bias-study")
