"""What labelers are told: a page and rows of CSV files for each, as tasks."""

import csv
import io
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from inflib.config.recipe import Recipe
from inflib.data.output_columns import INFLUENCE
from inflib.data.pairs_folder import PairsFolder, TextsById
from inflib.oversight.guidance import decisions, differs
from inflib.oversight.labeling import score_differences
from inflib.oversight.page import labeler_page
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.storage.folder import Folder
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import Stage, start_ray


def guide(recipe: Recipe) -> dict[str, Any]:
    """Write labelers/, labelers.csv and decisions.csv in oversight/ of a run that is
    scored. Without the labelers' column, all labels are one labeler's.

    Raises ValueError when the labels lack the scores of an objective.
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
    score_differences(table, config.objectives)  # says what is missing, once
    score = f"{recipe.score.reported}_{query}"
    texts = _texts.remote(run)  # its ids are read once, for all labelers
    tasks = [
        _one.remote(recipe, name, own, score, f"{number:04}-{_plain(name)}.html", texts)
        for number, (name, own) in enumerate(_by_labeler(table, config.labeler))
    ]
    found = [ray.get(task) for task in tasks]
    for place, name in enumerate(("labelers.csv", "decisions.csv")):
        rows = [row for each in found for row in each[place]]
        stage.folder.write(name, _csv(rows).encode())
    return stage.done(
        {"labelers": len(found), "labels": len(table)}, {"inputs": inputs}
    )


@ray.remote
def _texts(run: Folder) -> TextsById:
    observe("guidance")
    return TextsById(PairsFolder(run / "pairs" / "train"))


@ray.remote
def _one(
    recipe: Recipe,
    labeler: str,
    table: pa.Table,
    score: str,
    page: str,
    texts: TextsById,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of both files; leaves the page."""
    observe("guidance")
    run, config = Folder(recipe.run), recipe.oversight
    assert config is not None
    weights = differs(
        score_differences(table, config.objectives),
        table[INFLUENCE.of(score)].to_numpy(),
        config,
    )
    found = decisions(table, score, config.objectives, config.examples)
    ids = table["comparison_id"].to_pylist()
    shown = [texts[ids[row["place"]]] for row in found]
    text = labeler_page(labeler, table, weights, found, shown)
    target = run / "oversight" / "guidance" / "labelers"
    target.write(page, text.encode())
    return tuple(  # type: ignore[return-value]
        [{"labeler": labeler} | row for row in rows] for rows in (weights, found)
    )


def _by_labeler(table: pa.Table, column: str) -> list[tuple[str, pa.Table]]:
    if column not in table.column_names:
        return [("all", table)]
    names = sorted(pc.unique(table[column].cast(pa.string())).drop_null().to_pylist())
    text = table[column].cast(pa.string())
    return [(name, table.filter(pc.equal(text, name))) for name in names]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
