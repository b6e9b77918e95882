"""Labels of a run to what a training does with them: which are trained on, which are
held out to say when to stop, for how many steps; and what became of it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import TrainerCallback

from inflib.config.recipe import Recipe
from inflib.config.training import TrainConfig
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import Holdout, Steps, weighted_labels
from inflib.model.label_ids import labelled_ids
from inflib.model.partway import KeepPartway
from inflib.model.stopping import (
    KeepBest,
    StopAt,
    curve_of,
    least,
    losses_of,
    since_least,
)
from inflib.storage.folder import Folder


@dataclass(frozen=True)
class PlannedTraining:
    """A training that is about to start; tables are as label_ids.labelled_ids."""

    config: TrainConfig
    labels: pa.Table
    """Labels that are trained on, their targets with train.label_smoothing."""

    holdout: Holdout
    held_out: pa.Table | None
    """Labels whose loss says when to stop; None: nothing is held out, or `told`."""

    per_epoch: int
    """Optimizer steps of an epoch."""

    planned: int
    """Optimizer steps that the learning-rate schedule is planned for."""

    told: int | None
    """Optimizer steps after which training ends; None: by the held-out labels."""

    @staticmethod
    def of(recipe: Recipe, edits: Edits, steps: Steps | None) -> "PlannedTraining":
        """The training of a prepared run.

        edits: of training labels; they change neither how many steps are planned nor
        which labels are held out. steps: how many to train; None: by evidence.
        """
        config = recipe.train
        train = PairsFolder(Folder(recipe.run) / "pairs" / "train")
        unedited = weighted_labels(train)
        if steps is None:
            holdout = Holdout.choose(unedited, config.holdout)
        else:
            holdout = Holdout.at(unedited, steps.below)
        labels = labelled_ids(train, edits, lambda name: name not in holdout)
        smoothed = _smoothed(labels, config.label_smoothing)
        count = len(unedited) - len(holdout.pair_ids)
        per_epoch = math.ceil(count / config.batch_size)
        decides = steps is None and holdout.pair_ids
        return PlannedTraining(
            config,
            smoothed,
            holdout,
            labelled_ids(train, {}, holdout.__contains__) if decides else None,
            per_epoch,
            steps.planned if steps else math.ceil(config.epochs * per_epoch),
            steps.kept if steps else None,
        )

    def callbacks(self, folder: Path) -> list[TrainerCallback]:
        """Those that end the training and that keep models of it; they come first of
        all. folder: gets models, on this worker's disk."""
        if self.told is not None:
            return [StopAt(self.told)]
        every = max(1, round(self.per_epoch / self.config.evaluations_per_epoch))
        made: list[TrainerCallback] = []
        if self.config.keep < 1 and self.config.sketch == "after":
            made.append(KeepPartway(folder))
        if self.held_out is not None:
            made.append(KeepBest(every, self.config.patience))
        return made

    def facts(self, state: Any) -> dict[str, Any]:
        """What became of it, for metrics.json; state: the trainer's, at the end.

        pairs: labels that were computed, each as often as it was; labels: those trained
        on; steps: the step that was kept; curve: of the held-out labels, at each
        evaluation.
        """
        curve = curve_of(state.log_history)
        losses = losses_of(curve)
        best = least(losses)
        kept = state.global_step if best is None else int(curve[best]["step"])
        waited = bool(curve) and since_least(losses) >= self.config.patience
        ended = int(curve[-1]["step"]) if waited else state.global_step
        return {
            "pairs": round(len(self.labels) * ended / self.per_epoch),
            "labels": len(self.labels),
            "steps": kept,
            "planned_steps": self.planned,
            "ended_at": ended,
            "ended": self._why(waited),
            "held_out": {
                "below": self.holdout.below,
                "labels": len(self.holdout.pair_ids),
                "prompts": self.holdout.num_prompts,
            },
            "curve": curve,
        }

    def _why(self, waited: bool) -> str:
        if self.told is not None:
            return "as many steps as were asked for"
        if waited:
            return f"no lower loss in {self.config.patience} evaluations"
        if self.held_out is None and self.holdout.why_not:
            return f"all planned steps; nothing is held out: {self.holdout.why_not}"
        return "all planned steps"


def _smoothed(labels: pa.Table, smoothing: float) -> pa.Table:
    """Labels with the targets (1 - e) p + e (1 - p), e being the smoothing (Szegedy et
    al., CVPR 2016, arXiv:1512.00567, section 7, for two classes)."""
    target = labels["target"].to_numpy()
    smoothed = pa.array((1 - smoothing) * target + smoothing * (1 - target))
    place = labels.column_names.index("target")
    return labels.set_column(place, "target", smoothed)
