"""The bias-detection study: labels planted wrong, and which detectors find them.

    inflib bias-study --config recipes/bias_demo.yaml
    ray job submit --working-dir . -- python -m ray_jobs.detect_bias --config ...

Runs the audit's stages, computes hidden states for the detectors that need them, and
writes bias/: metrics.json, metrics.csv, ablations.json, examples.html, figures/. Rerun
to resume; what is complete is kept.

After "Understanding Impact of Human Feedback via Influence Functions", section 5.1.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.output_columns import INFLUENCE
from inflib.data.ratings import read_choices
from inflib.detection import detector_plots, detector_table, layer_choice
from inflib.detection.examples import examples_page
from inflib.numerics.ranking import METRICS
from inflib.report.console import show_bias
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.sketch_set import SketchSet, accuracy
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.session import Stage
from ray_jobs.sketch import sketch
from ray_jobs.studies.activation_tasks import layer_detectors, write_activations
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
"""In the figures, beside the reported influence and the judges."""


def detect(recipe: Recipe) -> dict[str, Any]:
    """Write bias/ of a run whose labels are scored; returns metrics.json."""
    run = Folder(recipe.run)
    stage = Stage("bias", run / "bias")
    influence = InfluenceFolder.current(recipe)
    inputs = digest_of(scores=influence.record.inputs, bias=recipe.bias.model_dump())
    if stage.is_current(inputs):
        stage.skip(f"complete, see {stage.folder.url}/metrics.json")
        return stage.folder.read_json("metrics.json")
    labels, counts = influence.counted()
    wrong = detector_table.truth_of(recipe, labels)
    choices = {Path(f).parent.name: read_choices(f) for f in recipe.bias.choices}
    reference = f"influence_{recipe.score.reported}"
    about: dict[str, Any] = {
        "labels": len(labels),
        "planted_wrong": int(wrong.sum()),
        "accuracy": {
            pairs: round(accuracy(SketchSet(run, pairs).margins()), 4)
            for pairs in recipe.prepare.sources
        },
        "reference": reference,
        "judges": detector_table.judge_points(choices, labels, wrong),
    }
    scores, sweeps = _scores(recipe, labels, counts, wrong, reference)
    found = {
        query: detector_table.figures(recipe.bias, own, wrong, reference)
        for query, own in scores.items()
    }
    sizes, fields = size_ablation(recipe, wrong), field_ablation(recipe)
    ablations = {"query_size": sizes, "fields": fields, "layers": sweeps}
    stage.folder.write_json("about.json", about)
    stage.folder.write_json("metrics.json", found)
    stage.folder.write("metrics.csv", _csv(found).encode())
    stage.folder.write_json("ablations.json", ablations)
    columns = {query: INFLUENCE.of(recipe.score.reported, query) for query in found}
    page = examples_page(run, labels, columns, wrong, recipe.bias.examples)
    stage.folder.write("examples.html", page.encode())
    pictures = stage.folder / "figures"
    names = [name for name in (reference, *DRAWN) if name in scores[next(iter(scores))]]
    for query, own in scores.items():
        drawn = {name: own[name] for name in names if name in own}
        detector_plots.draw_curves(pictures, query, drawn, wrong, about["judges"])
    detector_plots.draw_query_sets(pictures, found, names)
    detector_plots.draw_sizes(pictures, sizes)
    detector_plots.draw_ablations(pictures, fields)
    show_bias(about, found, Console(width=110))
    stage.done({"labels": len(labels)}, {"inputs": inputs})
    return found


def _scores(
    recipe: Recipe, labels: Any, counts: Any, wrong: Any, reference: str
) -> tuple[dict[str, detector_table.Scores], dict[str, Any]]:
    """({query set: detectors}, {query set: which layers and k, and all the others})."""
    by_layer = layer_detectors(recipe) if recipe.bias.activations else []
    found, sweeps = {}, {}
    for query in recipe.prepare.queries:
        scores = detector_table.detectors(recipe, labels, query)
        pair = [scores[reference], scores["length_difference"]]
        scores[detector_table.COMBINED] = detector_table.combined(
            recipe.bias, pair, wrong
        )
        own = [row for row in by_layer if row["query"] == query]
        if own:
            more, places, sweep = layer_choice.choose(own, counts, wrong)
            scores |= more
            sweeps[query] = {"places": places, "sweep": sweep}
        found[query] = scores
    return found, sweeps


def _csv(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    names = [f"{figure}{end}" for figure in METRICS for end in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["query", "detector", *names, "p_below_reference"])
    for query, rows in found.items():
        for detector, row in rows.items():
            p = row.get("below_reference", {}).get("p", "")
            writer.writerow([query, detector, *(row[name] for name in names), p])
    return text.getvalue()


def activations(recipe: Recipe) -> None:
    """Write activations/, if detectors on them are asked for."""
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
