"""Sketches of a run, left behind by a training with TRL: inflib.sketch_training.

    inflib prepare --config recipe.yaml --run runs/mine     # what is trained on

    trainer = RewardTrainer(model, train_dataset=..., peft_config=..., ...)
    inflib.sketch_training(trainer, "runs/mine")
    trainer.train()

    inflib score --run runs/mine
    inflib report --run runs/mine

The training stays as it is, to the bit. It needs neither Ray nor another script, and
may be started with `accelerate launch`.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback

from inflib.config.recipe import Recipe
from inflib.config.run_config import stored_recipe
from inflib.model.label_batches import Parts
from inflib.model.training import save_reward_model
from inflib.sketches.during_training import Sequences, TrainingSketcher
from inflib.storage.folder import Folder
from inflib.trl_checks import (
    check_labels,
    check_run,
    check_saved,
    check_trainer,
    compare_margins,
    labels_of,
)


def sketch_training(trainer: Any, run: str) -> None:
    """Sketch a run's labels while a trl.RewardTrainer is trained on them.

    Call it before trainer.train(). run: folder or S3 address of a run that was
    prepared with the same files, base model and tokenizer. Each training label is
    sketched in the first step that it is part of, query sets in the middle of the first
    epoch (docs/validity.md). Afterwards the run has reward_model/ and sketches/, as if
    `inflib train` and `inflib sketch` had made them.

    Raises ValueError where the run is not prepared, or has a model or sketches; where
    the trainer cannot be followed; and when it is called twice for one. Before the
    first step, trainer.train() raises it where fewer than half of the trainer's labels
    are the run's, or the model trains more than LoRA adapters and a linear head; in the
    first steps, where rewards are read elsewhere than at the last token, or what hooks
    see does not add up to autograd's gradient.
    """
    recipe = stored_recipe(Folder(run))
    check_run(recipe)
    if any(isinstance(c, _Sketches) for c in trainer.callback_handler.callbacks):
        raise ValueError("sketch_training was called for this trainer already")
    check_trainer(trainer, recipe)
    trainer.add_callback(_Sketches(trainer, recipe))


class _Sketches(TrainerCallback):
    """Rows at every step, query sets once, files at the end."""

    def __init__(self, trainer: Any, recipe: Recipe) -> None:
        self._trainer, self._recipe = trainer, recipe
        self._step = trainer.training_step
        trainer.training_step = self._seen_step
        self._sketcher: TrainingSketcher | None = None
        self._steps = self._others_at = 0
        self._compared = False
        self._started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._started = time.monotonic()
        trainer, recipe = self._trainer, self._recipe
        check_run(recipe)  # again: a trainer may be trained twice
        model = trainer.accelerator.unwrap_model(trainer.model)
        with trainer.accelerator.autocast():
            self._sketcher = TrainingSketcher(
                recipe,
                model,
                trainer.processing_class.pad_token_id,
                Path(args.output_dir),
                args.process_index,
            )
        trainer.accelerator.wait_for_everyone()  # all have looked at the run
        self._sketcher.begin(state.global_step > 0, args.world_size)
        if args.process_index == 0:
            check_saved(trainer, self._sketcher)
        check_labels(trainer, recipe, self._sketcher)
        trainer.accelerator.wait_for_everyone()
        per_step = args.train_batch_size * args.gradient_accumulation_steps
        per_step *= args.world_size
        epoch = -(-len(trainer.train_dataset) // per_step)
        self._steps = min(epoch, state.max_steps)
        self._others_at = max(1, self._steps // 2)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._others_at:
            self._sketch_others()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        assert self._sketcher is not None
        self._sketch_others()  # of a training that was resumed later than that
        self._sketcher.share()
        self._trainer.accelerator.wait_for_everyone()
        if args.process_index == 0:
            self._write(self._sketcher, state)
        self._trainer.accelerator.wait_for_everyone()

    def _sketch_others(self) -> None:
        assert self._sketcher is not None
        args = self._trainer.args
        with self._trainer.accelerator.autocast():
            self._sketcher.sketch_others(
                labels_of(self._trainer), args.process_index, args.world_size
            )

    def _seen_step(self, model: nn.Module, inputs: Any, *rest: Any) -> Tensor:
        assert self._sketcher is not None
        if self._trainer.state.global_step >= self._steps:
            return self._step(model, inputs, *rest)  # it has seen all of them
        labels = _labels(inputs)
        inner: Any = self._trainer.accelerator.unwrap_model(model)
        if not self._compared:
            with self._trainer.accelerator.autocast():
                compare_margins(inner, inputs, labels, self._sketcher)
            self._compared = True
        rows, width = inputs["input_ids"].shape
        sides = [(i, i + len(labels)) for i in range(len(labels))]
        parts = Parts.of_rows(width, rows, sides)
        with self._sketcher.watching(labels, parts) as see_rewards:

            def see(module: nn.Module, args: Any, output: Any) -> Any:
                output.logits = see_rewards(output.logits)
                return output

            hook = inner.get_base_model().register_forward_hook(see)
            try:
                return self._step(model, inputs, *rest)
            finally:
                hook.remove()

    def _write(self, sketcher: TrainingSketcher, state: Any) -> None:
        recipe, run = self._recipe, Folder(self._recipe.run)
        with TemporaryDirectory() as scratch:
            target = run / "reward_model"
            save_reward_model(self._trainer, scratch, target, recipe.model)
        with self._trainer.accelerator.autocast():
            rest = sketcher.write()
        facts = {
            "seconds": round(time.monotonic() - self._started, 2),
            "pairs": round(state.epoch * len(self._trainer.train_dataset)),
            "steps": state.global_step,
            "bytes": target.num_bytes(),
        }
        target.write_json("metrics.json", facts | {"trainer": "trl.RewardTrainer"})
        target.write_json("done.json", facts)
        sketcher.clean()
        count = sketcher.count
        print(
            f"inflib: {count - rest} comparisons were sketched in its course, {rest} "
            f"afterwards; next: inflib score --run {recipe.run}",
            flush=True,
        )


def _labels(inputs: dict[str, Tensor]) -> list[Sequences]:
    """Token ids of a batch's labels, chosen and rejected: the first and second half of
    its rows."""
    mask = inputs["attention_mask"].bool().cpu()
    ids = inputs["input_ids"].cpu()
    rows = [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]
    half = len(rows) // 2
    return list(zip(rows[:half], rows[half:], strict=True))
