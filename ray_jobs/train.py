"""Stage 2 of 5: labels -> a LoRA reward model.

    inflib train --run runs/demo
    ray job submit --working-dir . -- python -m ray_jobs.train --run s3://bucket/run

Trains with TRL on Ray Train, from the labels in pairs/, and writes reward_model/ with
loss and accuracy on every query set. Rerun to resume from the last checkpoint. Skipped
when model.adapter names a reward model that is already trained.
"""

import gc
import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train

from inflib.config.recipe import Recipe
from inflib.data.folds import Fold
from inflib.data.label_edits import Edits
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import Steps
from inflib.storage.folder import Folder
from inflib.telemetry import Clock, event
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import start_ray
from ray_jobs.shared.stage import Stage
from ray_jobs.shared.worker_group import run_group


def train(recipe: Recipe) -> dict[str, Any]:
    """Write reward_model/ of a run, unless it is complete or model.adapter is given.

    Returns the stage's record.
    """
    stage = Stage("train", Folder(recipe.run) / "reward_model")
    if recipe.model.adapter is not None:
        from inflib.model.model_check import check_model  # see train_worker

        check_model(recipe.model)
        return stage.skip(f"skipped, the adapter is {recipe.model.adapter}")
    if stage.folder.exists("done.json"):
        return stage.skip()
    for pairs in recipe.prepare.sources:
        PairsFolder(Folder(recipe.run) / "pairs" / pairs).plan()  # raises without one
    start_ray(recipe)
    observe("train")
    fit([Training(recipe, stage.folder, {})], stage.folder, "checkpoints")
    metrics = stage.folder.read_json("metrics.json")
    accuracy = {
        query: values["accuracy"] for query, values in metrics["queries"].items()
    }
    print(f"train: {_end_of(metrics)}", flush=True)
    if metrics.get("sketched_after"):
        print(
            f"train: {metrics['sketched_after']} comparisons did not come by in "
            "training and were sketched by the model at its end",
            flush=True,
        )
    if metrics.get("kept", {}) is None:
        print(
            "train: the learning rate was 0 up to the step that is kept: reward_model/ "
            "is the model before training, and labels will be scored by it; raise "
            "train.learning_rate, or look whether the labels say what they should",
            flush=True,
        )
    facts = {name: metrics[name] for name in ("pairs", "steps")}
    return stage.done(facts | {"accuracy": accuracy})


def _end_of(metrics: dict[str, Any]) -> str:
    """One line on when and why training ended, and what was kept.

    metrics: metrics.json of reward_model/.
    """
    kept, held_out = metrics["steps"], metrics["held_out"]
    ended = f"ended at step {metrics['ended_at']} of {metrics['planned_steps']}"
    if not metrics["curve"]:
        return f"{ended}: {metrics['ended']}"
    (best,) = (row for row in metrics["curve"] if row["step"] == kept)
    return (
        f"kept step {kept}, {ended}: {metrics['ended']}; {held_out['labels']} labels "
        f"on {held_out['prompts']} prompts are held out: loss {best['loss']:.3f} "
        f"({best['refined_loss']:.3f} at the best scale of margins, "
        f"{best['best_scale']:.2f}), accuracy {best['accuracy']:.3f}"
    )


@dataclass(frozen=True)
class Training:
    """A reward model to train on the labels of a prepared run."""

    recipe: Recipe

    folder: Folder
    """Where the reward model goes."""

    edits: Edits
    """Changes to the training labels; none for an ordinary training."""

    steps: Steps | None = None
    """For a retraining: how many optimizer steps, of which schedule, and without which
    labels. None: by the held-out labels, see train.holdout."""

    fold: Fold | None = None
    """For a training without a fold: that fold, whose labels the model judges then."""

    @property
    def is_own(self) -> bool:
        """Whether it makes the run's reward_model/: no retraining."""
        return self.folder == Folder(self.recipe.run) / "reward_model"

    @property
    def done(self) -> bool:
        """Whether the reward model is trained and evaluated."""
        if self.fold is None:
            return self.folder.exists("metrics.json")
        from inflib.model.reward_folder import FOLD_MARGINS  # see train_worker

        return {"metrics.json", FOLD_MARGINS} <= self.folder.names()


def fit(trainings: list[Training], folder: Folder, name: str) -> None:
    """Train models one after the other in one Ray Train worker group; done ones stay.

    The worker group is shared because it takes as long to start as a small model to
    train; all trainings must ask for the same workers. folder/name gets the checkpoints
    of the model in training. Raises the error of a training that failed too often.
    """
    todo = [training for training in trainings if not training.done]
    if not todo:
        return
    config = todo[0].recipe.train
    given = {"trainings": todo}
    failures = config.max_failures * len(todo)
    run_group(train_worker, given, config, failures, folder, name)


def train_worker(config: dict[str, Any]) -> None:
    """Train the models of config["trainings"]: what every Ray Train worker runs.

    Rank 0 writes the results.
    """
    observe("train")
    todo = [training for training in config["trainings"] if not training.done]
    for number, training in enumerate(todo, start=1):
        _train_one(training)
        gc.collect()  # a trainer refers to itself
        if ray.train.get_context().get_world_rank() == 0:
            message = f"{training.folder.url} is trained, {number} of {len(todo)}"
            print(message, flush=True)


def _train_one(training: Training) -> None:
    # Imported here: the driver and Ray Train's controller do not need TRL and torch.
    from ray.train.huggingface.transformers import RayTrainReportCallback

    from inflib.model.partway import KeepPartway
    from inflib.model.planned_training import PlannedTraining
    from inflib.model.sharded import until_all_have
    from inflib.model.stopping import KeepBest
    from inflib.model.training import NameCheckpoints, ShowProgress, build_trainer
    from inflib.sketches.flat_training import SketchTraining

    recipe, target = training.recipe, training.folder
    scratch = tempfile.mkdtemp(prefix="train-")  # fresh for each rank and attempt
    clock = Clock()
    naming = NameCheckpoints(target.url)
    callbacks = [naming, RayTrainReportCallback(), ShowProgress()]
    plan = PlannedTraining.of(recipe, training.edits, training.steps)
    trainer = build_trainer(recipe, plan, scratch, callbacks)
    sketching = None
    if recipe.train.sketch == "during" and training.is_own:
        steps = min(plan.per_epoch, plan.planned)
        sketching = SketchTraining(recipe, trainer, plan.labels, steps, Path(scratch))
    checkpoint = ray.train.get_checkpoint()
    with checkpoint.as_directory() if checkpoint else nullcontext(scratch) as local:
        saved = Path(local) / RayTrainReportCallback.CHECKPOINT_NAME
        # It may be of the model that this worker group trained before this one.
        is_ours = naming.names(saved)
        for callback in trainer.callback_handler.callbacks if is_ours else ():
            if isinstance(callback, KeepBest | KeepPartway):
                callback.restore(saved)
        trainer.train(resume_from_checkpoint=str(saved) if is_ours else None)
    clock.lap("train")
    with until_all_have(trainer.accelerator.unwrap_model(trainer.model)):
        if ray.train.get_context().get_world_rank() == 0:
            _write(training, plan, trainer, sketching, Path(scratch))
    clock.lap("write")
    event("trained", pairs=len(trainer.train_dataset), seconds=clock.laps)
    shutil.rmtree(scratch)


def _write(
    training: Training, plan: Any, trainer: Any, sketching: Any, scratch: Path
) -> None:
    """Evaluate what was trained, and write all of reward_model/. In one process."""
    from inflib.model.partway import FOLDER, KeepPartway
    from inflib.model.preference_trainer import evaluate, margins
    from inflib.model.reward_folder import write_fold_margins, write_margins
    from inflib.model.training import labels_of, save_partway, save_reward_model

    recipe, target = training.recipe, training.folder
    evaluated = {
        query: evaluate(trainer, labels_of(recipe, query))
        for query in recipe.prepare.queries
    }
    save_reward_model(trainer, str(scratch / "final"), target, recipe.model)
    target.write_json("log.json", trainer.state.log_history)
    if plan.holdout.pair_ids and training.steps is None:
        held = {"below": plan.holdout.below, "pair_ids": plan.holdout.pair_ids}
        target.write_json("held_out.json", held)
    write_margins(target, {name: m.margins for name, m in evaluated.items()})
    if training.fold is not None:
        judged = labels_of(recipe, "train", training.fold.__contains__)
        write_fold_margins(target, margins(trainer, judged))
    facts = plan.facts(trainer.state)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, KeepPartway):
            share, folder = recipe.train.keep, target / FOLDER
            kept = save_partway(trainer, callback, facts["steps"], share, folder)
            facts["kept"] = kept and vars(kept)
    if sketching is not None:
        facts["sketched_after"] = sketching.write()
    queries = {name: labels.means for name, labels in evaluated.items()}
    target.write_json("metrics.json", facts | {"queries": queries})
    if sketching is not None:
        sketching.clean()


STAGES = [train]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("train")
