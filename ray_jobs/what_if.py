"""What would flipping, dropping or reweighting labels do? From the sketches alone.

    inflib what-if fixes.csv --run runs/demo
    python -m ray_jobs.what_if fixes.csv --run s3://bucket/run

EDITS.csv has the columns pair_id and action: flip, drop, or the label's new weight.
Prints what the edits would do to every query set's loss, to first order, and scores all
labels anew as if they were made, into what_if/<its name>/.
"""

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.label_edits import read_edits
from inflib.report.console import show_predictions
from inflib.scores.influence_folder import InfluenceFolder, digest_of
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.score import score_into
from ray_jobs.shared.session import run_stages


def what_if(recipe: Recipe, edits: str) -> list[dict[str, Any]]:
    """Print what edits of labels would do; score all labels as if they were made.

    edits: the CSV file. Returns the predictions.
    """
    run, changes = Folder(recipe.run), read_edits(edits)
    influence = InfluenceFolder.current(recipe)
    predictions = predict(recipe, influence, changes)
    show_predictions(predictions, Console())
    inputs = digest_of(
        scores=influence.record.inputs,
        edits={pair_id: vars(edit) for pair_id, edit in changes.items()},
    )
    edited = InfluenceFolder(run / "what_if" / Path(edits).name.partition(".")[0])
    score_into(recipe, edited, inputs, changes)
    print(f"score: with these edits, in {edited.folder.url}/influence.parquet")
    return predictions


def job(recipe: Recipe, edits: str) -> Any:
    return run_stages(recipe, [partial(what_if, edits=edits)])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("what-if")
