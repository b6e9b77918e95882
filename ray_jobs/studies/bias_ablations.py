"""Ablations of the bias study: the query set's size, and any field of the recipe."""

import hashlib
import json
from typing import Any

from inflib.config.loading import with_fields
from inflib.config.recipe import Recipe
from inflib.config.run_config import bind
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
    """Metrics of influence on random subsets of each query set, one row per subset.

    By the reported curvature. wrong: which of the labels that count are wrong.
    """
    kind, config = recipe.score.reported, recipe.bias
    rows = []
    for query in recipe.prepare.queries:
        sizes, scores = subset_scores(
            recipe, query, config.sizes, config.repeats, config.seed
        )
        for size, influence in zip(sizes, scores.T, strict=True):
            setting = {"query": query, "size": size, "detector": kind}
            rows.append(setting | (detection(influence, wrong) or {}))
    return rows


def field_ablation(recipe: Recipe) -> list[dict[str, Any]]:
    """Metrics of influence with other values of recipe fields, one row per detector.

    Each value has a run of its own in ablations/ of this one. It takes over the reward
    model where the field belongs to a later stage than training.
    """
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
                scores = detector_table.detector_scores(changed, labels, query)
                for name, influence in scores.items():
                    if name.startswith("influence_"):
                        setting = {"field": field, "value": value, "query": query}
                        metrics = detection(influence, wrong) or {}
                        rows.append(setting | {"detector": name} | metrics)
    return rows


def _changed(recipe: Recipe, field: str, value: Any) -> Recipe:
    """The recipe with another value of a field, and a run folder named after it."""
    run = Folder(recipe.run)
    text = f"{field}={json.dumps(value)}"
    name = text.replace("/", "_").replace('"', "")
    if "/" in text:  # a/b and a_b are two runs
        name += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    changes: dict[str, Any] = {"run": (run / "ablations" / name).url, field: value}
    if field.startswith(("sketch.", "score.")) and recipe.model.adapter is None:
        changes["model.adapter"] = (run / "reward_model").url
    return with_fields(recipe, changes, f"bias.ablate {field}")
