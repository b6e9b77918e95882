"""Bringing a labeler closer to an expert: in what they differ, and what that changes.

    inflib oversight --config recipes/oversight_demo.yaml
    ray job submit --working-dir . -- python -m ray_jobs.oversight --config ...

With oversight.simulate: an expert and labelers who weigh sub-objective scores. Every
labeler is a run of its own in labelers/; oversight/ holds metrics.json, ablations.json
and figures/. Without: looks at the labels of the run. Both: a page and CSV files for
each labeler, in the oversight/ of the run with the labels. Rerun to resume.

After "Understanding Impact of Human Feedback via Influence Functions", section 5.2.
"""

from typing import Any

from rich.console import Console

from inflib.config.oversight import OversightConfig
from inflib.config.recipe import Recipe
from inflib.oversight.ablation_plots import draw
from inflib.oversight.experiment import mean_over
from inflib.report.console import show_oversight
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.shared.session import Stage
from ray_jobs.sketch import sketch
from ray_jobs.studies.labeler_pages import guide
from ray_jobs.studies.simulation import (
    audit_labelers,
    outcomes,
    retrained,
    write_simulation,
)
from ray_jobs.train import train


def oversee(recipe: Recipe) -> dict[str, Any]:
    """Raises ValueError when the recipe says nothing of oversight."""
    if recipe.oversight is None:
        raise ValueError("the recipe has no section oversight: name its objectives")
    if recipe.oversight.simulate is not None:
        return simulate(recipe, recipe.oversight)
    for stage in (prepare, train, sketch, score):
        stage(recipe)
    return guide(recipe)


def simulate(recipe: Recipe, config: OversightConfig) -> dict[str, Any]:
    """Write oversight/ of a run whose labelers are simulated; returns metrics.json."""
    stage = Stage("oversight", Folder(recipe.run) / "oversight")
    weights = write_simulation(recipe, config)
    audits = audit_labelers(recipe, weights)
    found = [
        outcomes(recipe, number, audited, accuracy)
        for number, (audited, accuracy) in enumerate(
            zip(audits, retrained(recipe, audits), strict=True)
        )
    ]
    metrics = mean_over([methods for methods, _ in found])
    ablations = [row for _, rows in found for row in rows]
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
