"""Ablations of the bias study: the query set's size, and any field of the recipe."""

import json
from typing import Any

from inflib.config.loading import bind, with_fields
from inflib.config.recipe import Recipe
from inflib.detection import detector_table
from inflib.numerics.ranking import detection
from inflib.scores.influence_folder import InfluenceFolder
from inflib.storage.folder import Folder
from ray_jobs.prepare import prepare
from ray_jobs.score import score
from ray_jobs.sketch import sketch
from ray_jobs.studies.subset_scores import subset_scores
from ray_jobs.train import train


def size_ablation(recipe: Recipe, wrong: Any) -> list[dict[str, Any]]:
    """AUC of the reported curvature with random parts of each query set."""
    kind, config = recipe.score.reported, recipe.bias
    rows = []
    for query in recipe.prepare.queries:
        asked = query, config.sizes, config.repeats, config.seed
        sizes, scores = subset_scores(recipe, *asked)
        for size, own in zip(sizes, scores.T, strict=True):
            about = {"query": query, "size": size, "detector": kind}
            rows.append(about | (detection(own, wrong) or {}))
    return rows


def field_ablation(recipe: Recipe) -> list[dict[str, Any]]:
    """Figures of influence with other values of recipe fields, each of a run in
    ablations/ of this one; the reward model is kept where the field is a later one."""
    rows = []
    for field, values in recipe.bias.ablate.items():
        for value in values:
            changed = _changed(recipe, field, value)
            bind(changed)
            for stage in (prepare, train, sketch, score):
                stage(changed)
            labels, _ = InfluenceFolder.of(Folder(changed.run)).counted()
            wrong = detector_table.truth_of(changed, labels)
            for query in changed.prepare.queries:
                scores = detector_table.detectors(changed, labels, query)
                for name, values_ in scores.items():
                    if name.startswith("influence_"):
                        about = {"field": field, "value": value, "query": query}
                        figures = detection(values_, wrong) or {}
                        rows.append(about | {"detector": name} | figures)
    return rows


def _changed(recipe: Recipe, field: str, value: Any) -> Recipe:
    run = Folder(recipe.run)
    name = f"{field}={json.dumps(value)}".replace("/", "_").replace('"', "")
    changes: dict[str, Any] = {"run": (run / "ablations" / name).url, field: value}
    if field.startswith(("sketch.", "score.")) and recipe.model.adapter is None:
        changes["model.adapter"] = (run / "reward_model").url
    return with_fields(recipe, changes, f"bias.ablate {field}")
