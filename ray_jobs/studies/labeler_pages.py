"""Scored labels to guidance: for each labeler a page, and rows of two CSV files."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from inflib.config.recipe import Recipe
from inflib.data.output_columns import INFLUENCE
from inflib.data.pairs_folder import PairsFolder, TextsById
from inflib.oversight.guidance import decisions, weight_differences
from inflib.oversight.labeling import score_differences
from inflib.oversight.page import labeler_page
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.storage.folder import Folder
from inflib.storage.plain_text import csv_text
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage


def guide(recipe: Recipe) -> dict[str, Any]:
    """Write labelers/, labelers.csv and review.csv to oversight/guidance/.

    The run is scored. Without the column oversight.labeler, all labels are taken as one
    labeler's. Returns the stage's record. Raises ValueError when the labels lack the
    scores of an objective.
    """
    run, config = Folder(recipe.run), recipe.oversight
    assert config is not None
    query = recipe.query_set(config.query, "oversight.query")
    stage = Stage("guidance", run / "oversight" / "guidance")
    settings = config.model_dump(mode="json", exclude={"simulate"})
    influence = InfluenceFolder.current(recipe)
    inputs = digest_of(scores=influence.record.inputs, **settings)
    if stage.is_current(inputs):
        return stage.skip()
    start_ray(recipe)
    table, _ = influence.counted()
    score_differences(table, config.objectives)  # raises here, not in every task
    score = f"{recipe.score.reported}_{query}"
    texts = _texts.remote(run)  # its ids are read once, for all labelers
    tasks = []
    for number, (labeler, labels) in enumerate(_by_labeler(table, config.labeler)):
        page = f"{number:04}-{_plain(labeler)}.html"
        tasks.append(_guide_labeler.remote(recipe, labeler, labels, score, page, texts))
    rows_of_labelers = [ray.get(task) for task in tasks]
    for place, name in enumerate(("labelers.csv", "review.csv")):
        rows = [row for files in rows_of_labelers for row in files[place]]
        stage.folder.write(name, _csv(rows).encode())
    return stage.done(
        {"labelers": len(tasks), "labels": len(table)}, {"inputs": inputs}
    )


@ray.remote
def _texts(run: Folder) -> TextsById:
    """Prompts and responses of the training comparisons, looked up by id."""
    observe("guidance")
    return TextsById(PairsFolder(run / "pairs" / "train"))


@ray.remote
def _guide_labeler(
    recipe: Recipe,
    labeler: str,
    labels: pa.Table,
    score: str,
    page: str,
    texts: TextsById,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write a labeler's page; returns its rows of labelers.csv and of review.csv.

    labels: the labeler's, scored; score: such as gauss_newton_expert; page: file name.
    """
    observe("guidance")
    run, config = Folder(recipe.run), recipe.oversight
    assert config is not None
    weights = weight_differences(
        score_differences(labels, config.objectives),
        labels[INFLUENCE.of(score)].to_numpy(),
        config,
    )
    harmful = decisions(labels, score, config.objectives, config.examples)
    ids = labels["comparison_id"].to_pylist()
    shown = [texts[ids[row["place"]]] for row in harmful]
    html = labeler_page(labeler, labels, weights, harmful, shown)
    target = run / "oversight" / "guidance" / "labelers"
    target.write(page, html.encode())
    return tuple(  # type: ignore[return-value]
        [{"labeler": labeler} | row for row in rows] for rows in (weights, harmful)
    )


def _by_labeler(table: pa.Table, column: str) -> list[tuple[str, pa.Table]]:
    """(labeler, labels) by name; labels without a labeler are left out."""
    if column not in table.column_names:
        return [("all", table)]
    labelers = table[column].cast(pa.string())
    names = sorted(pc.unique(labelers).drop_null().to_pylist())
    return [(name, table.filter(pc.equal(labelers, name))) for name in names]


def _plain(name: str) -> str:
    """A labeler's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]


def _csv(rows: list[dict[str, Any]]) -> str:
    return csv_text(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""
