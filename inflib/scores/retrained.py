"""retrained/ of a run: the reward models that were trained again on edited labels.

    <address>/    what reward_model/ holds, of one training

An address is the digest of all that a training depends on: labels, edits, model, recipe
and steps. Whoever asks for the same training again, `verify` or a benchmark, finds it.
"""

import hashlib

from inflib.config.recipe import Recipe
from inflib.config.training import TrainConfig
from inflib.data.label_edits import Edits
from inflib.data.training_plan import Steps
from inflib.scores.influence_folder import digest_of
from inflib.storage.folder import Folder

_SAME_MODEL = {
    "cpus_per_worker",
    "gpus_per_worker",
    "keep",
    "max_failures",
    "saves_per_epoch",
    "sketch",
}
"""Options of training that a retrained model is kept across."""

_YOUNGER = {"quantization"}
"""Fields of the model that banks are older than: without a value, they say nothing."""


def labels_digest(recipe: Recipe) -> str:
    """SHA-256 that stands for the labels of a prepared run, of all its pair sets: of
    the query sets as well, whose margins are kept."""
    run, labels = Folder(recipe.run), hashlib.sha256()
    for pairs in recipe.prepare.sources:
        labels.update(run.read_bytes(f"pairs/{pairs}/plan.json"))
    return labels.hexdigest()


class Bank:
    """The retrained models of a prepared run."""

    def __init__(self, recipe: Recipe) -> None:
        """Reads which labels the run has."""
        self.folder = Folder(recipe.run) / "retrained"
        self._of_all = {
            "pairs": labels_digest(recipe),
            "sets": list(recipe.prepare.sources),
            "model": {
                name: value
                for name, value in recipe.model.model_dump(mode="json").items()
                if value is not None or name not in _YOUNGER
            },
        }

    def folder_of(
        self, train: TrainConfig, edits: Edits, steps: Steps | None
    ) -> Folder:
        """The folder of the model that is trained so, with edits, for some steps."""
        address = digest_of(
            **self._of_all,
            edits=[(name, vars(edit)) for name, edit in sorted(edits.items())],
            train=train.model_dump(mode="json", exclude=_SAME_MODEL),
            gpu=train.gpus_per_worker > 0,  # which draws another dropout
            steps=vars(steps) if steps else None,
        )
        return self.folder / address
