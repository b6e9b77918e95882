"""What would edits of labels do?"""

from pathlib import Path

from rich.console import Console

from inflib.config.recipe import Recipe
from inflib.data.label_edits import read_edits
from inflib.report.console import show_predictions
from inflib.scores.influence_folder import Scored, current_scores, digest_of
from inflib.scores.what_if import predict
from inflib.storage.folder import Folder
from ray_jobs.score import score_into


def what_if(recipe: Recipe, path: str) -> None:
    """Print what edits of labels would do; score all labels as if they were made."""
    run, edits = Folder(recipe.run), read_edits(path)
    scores = current_scores(run, recipe)
    show_predictions(predict(recipe, Scored(run), edits), Console())
    changes = {pair_id: vars(edit) for pair_id, edit in edits.items()}
    inputs = digest_of(scores=scores, edits=changes)
    folder = run / "what_if" / Path(path).name.partition(".")[0]
    score_into(recipe, folder, inputs, edits)
    print(f"score: with these edits, in {folder.url}/influence.parquet")
