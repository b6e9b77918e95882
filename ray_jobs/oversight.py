"""Show how labelers' priorities differ from an expert's.

    inflib oversight --config recipes/oversight_demo.yaml
    inflib oversight --run runs/audit --oversight.objectives correctness,verbosity
    ray job submit --working-dir . -- python -m ray_jobs.oversight --config ...

Needs scores of both responses of every label in each objective, such as correctness and
verbosity. Writes a page for each labeler, labelers.csv and review.csv to
oversight/guidance/: the labeler's weights of the objectives beside the expert's, and
the decisions to look at again.

With oversight.simulate, an expert and labelers with known weights make the labels. Each
labeler then has a run of its own in labelers/, and oversight/ holds metrics.json,
ablations.json and figures/: how far new weights bring a labeler's decisions, and a
reward model trained on them, towards the expert. Rerun to resume.

After "Understanding Impact of Human Feedback via Influence Functions", section 5.2.
"""

from typing import Any

from rich.console import Console

from inflib.config.oversight import OversightConfig
from inflib.config.recipe import Recipe
from inflib.oversight.ablation_plots import draw
from inflib.oversight.experiment import means_over_labelers
from inflib.report.study_console import show_oversight
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.stage import Stage
from ray_jobs.sketch import sketch
from ray_jobs.studies.labeler_pages import guide
from ray_jobs.studies.simulation import (
    audit_labelers,
    outcomes,
    retrained_accuracies,
    write_simulation,
)
from ray_jobs.train import train


def oversee(recipe: Recipe) -> dict[str, Any]:
    """Simulate labelers if the recipe says so, else audit the run's own and guide them.

    Returns metrics.json of the simulation, or the record of the guidance. Raises
    ValueError when the recipe has no section `oversight`.
    """
    if recipe.oversight is None:
        raise ValueError("the recipe has no section oversight: name its objectives")
    if recipe.oversight.simulate is not None:
        return simulate(recipe, recipe.oversight)
    for stage in (prepare, train, sketch, score):
        stage(recipe)
    return guide(recipe)


def simulate(recipe: Recipe, config: OversightConfig) -> dict[str, Any]:
    """Write oversight/ of a run whose labelers are simulated; returns metrics.json.

    {method: means over the labelers, with 95% intervals by Student's t}.
    """
    stage = Stage("oversight", Folder(recipe.run) / "oversight")
    weights = write_simulation(recipe, config)
    audits = audit_labelers(recipe, weights)
    accuracies = retrained_accuracies(recipe, audits)
    labeler_outcomes = [
        outcomes(recipe, number, audit, accuracy)
        for number, (audit, accuracy) in enumerate(zip(audits, accuracies, strict=True))
    ]
    metrics = means_over_labelers([methods for methods, _ in labeler_outcomes])
    ablations = [row for _, rows in labeler_outcomes for row in rows]
    stage.folder.write_json("metrics.json", metrics)
    stage.folder.write_json("ablations.json", ablations)
    draw(stage.folder / "figures", ablations)
    show_oversight(metrics, Console(width=140))
    stage.done({"labelers": len(weights)}, {"weights": weights})
    return metrics


STAGES = [oversee]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("oversight")
