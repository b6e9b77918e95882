"""Sketches in the course of a run's own training (train.sketch: during)."""

from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import TrainerCallback

from inflib.config.recipe import Recipe
from inflib.model.label_batches import LabelBatch
from inflib.model.preference_trainer import See
from inflib.model.sharded import until_all_have
from inflib.sketches.during_training import Sequences, TrainingSketcher

_AT_ONCE = 512
"""Labels that are read at a time, where all are."""


class SketchTraining(TrainerCallback):
    """Sees a flat training's gradients; sketches the rest in the middle of the first
    epoch. Its `write` makes sketches/ of the run."""

    def __init__(
        self,
        recipe: Recipe,
        trainer: Any,
        labels: pa.Table,
        steps: int,
        scratch: Path,
    ) -> None:
        """trainer: of preference_trainer, not yet started; labels: that it is trained
        on, as label_ids.labelled_ids; steps: of its first epoch; scratch: see
        TrainingSketcher."""
        self._trainer, self._labels, self._middle = trainer, labels, max(1, steps // 2)
        with trainer.accelerator.autocast():
            self.sketcher = TrainingSketcher(
                recipe,
                trainer.accelerator.unwrap_model(trainer.model),
                trainer.processing_class.pad_token_id,
                scratch,
                trainer.args.process_index,
            )
        trainer.watching, trainer.watched_steps = self._watching, steps
        trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.sketcher.begin(state.global_step > 0, args.world_size)
        self._trainer.accelerator.wait_for_everyone()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._middle:
            self._sketch_others()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._sketch_others()  # of a training that ended, or was resumed, elsewhere
        self.sketcher.share()
        self._trainer.accelerator.wait_for_everyone()

    def write(self) -> int:
        """See TrainingSketcher.write."""
        with self._trainer.accelerator.autocast():
            return self.sketcher.write()

    def clean(self) -> None:
        """See TrainingSketcher.clean."""
        self.sketcher.clean()

    def _sketch_others(self) -> None:
        args = self._trainer.args
        starts = range(0, len(self._labels), _AT_ONCE)
        labels = chain.from_iterable(
            _sequences(self._labels.slice(start, _AT_ONCE)) for start in starts
        )
        model = self.sketcher.model
        with self._trainer.accelerator.autocast(), until_all_have(model):
            self.sketcher.sketch_others(labels, args.process_index, args.world_size)

    def _watching(
        self, table: pa.Table, batch: LabelBatch
    ) -> AbstractContextManager[See]:
        labels = _sequences(table.take(pa.array(batch.rows.numpy())))
        return self.sketcher.watching(labels, batch.parts())


def _sequences(table: pa.Table) -> list[Sequences]:
    """Token ids of each label's chosen and rejected response."""
    sides = (table[name].to_pylist() for name in ("chosen_ids", "rejected_ids"))
    return list(zip(*sides, strict=True))
