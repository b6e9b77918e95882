"""Stage 2 of 5: labels -> LoRA reward model, by TRL on Ray Train. Rerun to resume.

inflib train --run runs/demo
ray job submit --working-dir . -- python -m ray_jobs.train --run s3://bucket/run
"""

import gc
import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from inflib.config.recipe import Recipe
from inflib.data.label_edits import Edits
from inflib.storage.folder import Folder, open_filesystem
from inflib.telemetry import Clock, event
from ray_jobs.shared.observe import observe
from ray_jobs.shared.session import Stage, start_ray


def train(recipe: Recipe) -> dict[str, Any]:
    """Write reward_model/ of a run, unless it is complete or the user brings one."""
    stage = Stage("train", Folder(recipe.run) / "reward_model")
    if recipe.model.adapter is not None:
        from inflib.model.adapter import read_adapter  # see train_worker

        read_adapter(Folder(recipe.model.adapter))
        return stage.skip(f"skipped, the adapter is {recipe.model.adapter}")
    if stage.folder.exists("done.json"):
        return stage.skip()
    start_ray(recipe)
    observe("train")
    fit([Training(recipe, stage.folder, {})], stage.folder, "checkpoints")
    metrics = stage.folder.read_json("metrics.json")
    accuracy = {name: each["accuracy"] for name, each in metrics["queries"].items()}
    facts = {name: metrics[name] for name in ("pairs", "steps")}
    return stage.done(facts | {"accuracy": accuracy})


@dataclass(frozen=True)
class Training:
    """A reward model to train on the labels of a prepared run."""

    recipe: Recipe

    folder: Folder
    """Where the reward model goes."""

    edits: Edits
    """Of the training labels."""

    @property
    def done(self) -> bool:
        return self.folder.exists("metrics.json")


def fit(trainings: list[Training], folder: Folder, name: str) -> None:
    """Train models one after the other, in one worker group; those done are kept.

    A group takes as long to start as a small model to train. All must ask for the same
    workers. folder/name: checkpoints of the model in training.
    """
    todo = [each for each in trainings if not each.done]
    if not todo:
        return
    config = todo[0].recipe.train
    filesystem, path = open_filesystem(folder.url)
    failures = config.max_failures * len(todo)
    result = TorchTrainer(
        train_worker,
        train_loop_config={"trainings": todo},
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker={
                "CPU": config.cpus_per_worker,
                **({"GPU": config.gpus_per_worker} if config.gpus_per_worker else {}),
            },
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=None
            if folder.is_local
            else PyFileSystem(FSSpecHandler(filesystem)),
            failure_config=FailureConfig(
                max_failures=failures, controller_failure_limit=failures
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
    if result.error is not None:
        raise result.error


def train_worker(config: dict[str, Any]) -> None:
    """What every training worker runs; rank 0 writes the results."""
    observe("train")
    todo = [each for each in config["trainings"] if not each.done]
    for number, training in enumerate(todo, start=1):
        _train_one(training)
        gc.collect()  # a trainer refers to itself
        if ray.train.get_context().get_world_rank() == 0:
            said = f"{training.folder.url} is trained, {number} of {len(todo)}"
            print(said, flush=True)


def _train_one(training: Training) -> None:
    # Here, since a training's driver and controller would load all this for nothing.
    from ray.train.huggingface.transformers import RayTrainReportCallback

    from inflib.model.training import (
        NameCheckpoints,
        ShowProgress,
        build_trainer,
        save_reward_model,
    )

    recipe, target = training.recipe, training.folder
    scratch = tempfile.mkdtemp(prefix="train-")  # fresh for each rank and attempt
    clock = Clock()
    naming = NameCheckpoints(target.url)
    callbacks = [naming, RayTrainReportCallback(), ShowProgress()]
    trainer = build_trainer(recipe, training.edits, scratch, callbacks)
    checkpoint = ray.train.get_checkpoint()
    with checkpoint.as_directory() if checkpoint else nullcontext(scratch) as local:
        saved = Path(local) / RayTrainReportCallback.CHECKPOINT_NAME
        ours = naming.names(saved)  # or of the group's model before this one
        trainer.train(resume_from_checkpoint=str(saved) if ours else None)
    clock.lap("train")
    figures = {name: trainer.evaluate(name) for name in recipe.prepare.queries}
    clock.lap("evaluate")
    event("trained", pairs=len(trainer.train_dataset), seconds=clock.laps)
    if ray.train.get_context().get_world_rank() == 0:
        final = str(Path(scratch) / "final")
        save_reward_model(trainer, final, target)
        target.write_json("log.json", trainer.state.log_history)
        target.write_json(
            "metrics.json",
            {
                "pairs": round(len(trainer.train_dataset) * recipe.train.epochs),
                "steps": trainer.state.global_step,
                "queries": {
                    name: {y: each[f"eval_{y}"] for y in ("loss", "accuracy", "margin")}
                    for name, each in figures.items()
                },
            },
        )
    shutil.rmtree(scratch)


STAGES = [train]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("train")
