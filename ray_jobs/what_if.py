"""Predict what flipping, dropping or reweighting labels would do.

    inflib what-if fixes.csv --run runs/demo
    python -m ray_jobs.what_if fixes.csv --run s3://bucket/run

DECISIONS.csv has the columns pair_id and action (flip, drop, tie, keep, or weight with
a factor as value), as the report's page saves it. Prints how much every query set's
mean loss would change: to first order, times a factor that makes all labels together do
what training did; with a leverage, from 0.5 on of which first order says little; and
once `verify` has retrained, what to expect of one retraining, with its 95% interval.
Labels that the run held out of training count as if they were trained on. Scores all
labels as if the edits were made, into what_if/<name of the CSV file>/. Nothing is
trained or sketched.
"""

from functools import partial
from pathlib import Path
from typing import Any

from inflib.config.recipe import Recipe
from inflib.data.decisions import read_edits
from inflib.report.study_console import show_predictions, show_verdicts
from inflib.report.tables import console
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.retraining import read_sizes
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.score import score_into
from ray_jobs.shared.session import run_stages

_FILE = "edits.json"
"""Says which file the scores in a folder are of."""


def what_if(recipe: Recipe, edits: str) -> list[dict[str, Any]]:
    """Predict what edits of labels would do; score all labels as if they were made.

    edits: path of the CSV file. Prints and returns rows with the predicted change of
    each query set's loss; after `verify` also with what to expect of one retraining,
    and its 95% interval. Raises ValueError for unknown labels, and for scores that are
    not of the run's labels, sketches or settings.
    """
    run, changes = Folder(recipe.run), read_edits(edits)
    edited = InfluenceFolder(folder_of(run, edits))
    influence = InfluenceFolder.current(recipe)
    predictions = predict(recipe, influence, changes)
    sizes = read_sizes(run, influence.record.inputs)
    for row in predictions if sizes else ():
        size = sizes.get(row["query"])
        ends = size.expected(row["change_of_query_loss"]) if size else [None] * 3
        row |= dict(zip(("expected", "low", "high"), ends, strict=True))
    show_verdicts(run, console())
    show_predictions(predictions, console())
    inputs = digest_of(
        scores=influence.record.inputs,
        edits={pair_id: vars(edit) for pair_id, edit in changes.items()},
    )
    edited.folder.write_json(_FILE, {"file": _absolute(edits)})
    score_into(recipe, edited, inputs, changes)
    print(f"score: with these edits, in {edited.folder.url}/influence.parquet")
    return predictions


def folder_of(run: Folder, edits: str) -> Folder:
    """The folder that is named after a file of edits. Raises ValueError where another
    file with such a name has it: its scores would be overwritten."""
    folder = run / "what_if" / Path(edits).name.partition(".")[0]
    had = folder.read_json(_FILE)["file"] if folder.exists(_FILE) else None
    if had not in (None, _absolute(edits)):
        raise ValueError(
            f"{folder.url} holds the scores of {had}: give {edits} another name"
        )
    return folder


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).resolve())


def job(recipe: Recipe, edits: str) -> Any:
    """what_if, with the run folder bound to the recipe."""
    return run_stages(recipe, [partial(what_if, edits=edits)])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("what-if")
