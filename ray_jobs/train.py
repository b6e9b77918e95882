"""Stage 2 of 5: labels -> LoRA reward model, by TRL on Ray Train. Rerun to resume.

python -m ray_jobs.train --run runs/demo
ray job submit --working-dir . -- python -m ray_jobs.train --run s3://bucket/run
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import ray.train
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from inflib.config import Recipe
from inflib.edits import Edits
from inflib.events import event
from inflib.folder import Folder, open_filesystem
from inflib.progress import Clock
from ray_jobs.observe import observe
from ray_jobs.session import Stage, main, start_ray


def train(recipe: Recipe) -> None:
    """Write reward_model/ of a run, unless it is complete or the user brings one."""
    stage = Stage("train", Folder(recipe.run) / "reward_model")
    if recipe.model.adapter is not None:
        from inflib.adapter import read_adapter  # see train_worker

        read_adapter(Folder(recipe.model.adapter))
        return stage.skip(f"skipped, the adapter is {recipe.model.adapter}")
    if stage.folder.exists("done.json"):
        return stage.skip()
    start_ray(recipe)
    observe("train")
    fit(recipe, stage.folder, {})
    metrics = stage.folder.read_json("metrics.json")
    accuracy = {name: each["accuracy"] for name, each in metrics["queries"].items()}
    facts = {name: metrics[name] for name in ("pairs", "steps")}
    stage.done(facts | {"accuracy": accuracy})


def fit(recipe: Recipe, folder: Folder, edits: Edits) -> None:
    """Train on the labels of a run, edited, and leave the reward model in `folder`."""
    config = recipe.train
    filesystem, path = open_filesystem(folder.url)
    result = TorchTrainer(
        train_worker,
        train_loop_config={
            "recipe": recipe.model_dump(mode="json"),
            "folder": folder,
            "edits": edits,
        },
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker={
                "CPU": config.cpus_per_worker,
                **({"GPU": config.gpus_per_worker} if config.gpus_per_worker else {}),
            },
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=path,
            storage_filesystem=None
            if folder.is_local
            else PyFileSystem(FSSpecHandler(filesystem)),
            failure_config=FailureConfig(
                max_failures=config.max_failures,
                controller_failure_limit=config.max_failures,
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
    if result.error is not None:
        raise result.error


def train_worker(config: dict[str, Any]) -> None:
    """What every training worker runs; rank 0 writes the result."""
    # Here, since a training's driver and controller would load all this for nothing.
    from ray.train.huggingface.transformers import RayTrainReportCallback

    from inflib.training import ShowProgress, build_trainer, save_reward_model

    observe("train")
    recipe = Recipe.model_validate(config["recipe"])
    scratch = tempfile.mkdtemp(prefix="train-")  # fresh for each rank and attempt
    clock = Clock()
    callbacks = [RayTrainReportCallback(), ShowProgress()]
    trainer = build_trainer(recipe, config["edits"], scratch, callbacks)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        trainer.train()
    else:
        with checkpoint.as_directory() as local:
            trainer.train(
                resume_from_checkpoint=str(
                    Path(local) / RayTrainReportCallback.CHECKPOINT_NAME
                )
            )
    clock.lap("train")
    figures = {name: trainer.evaluate(name) for name in recipe.prepare.queries}
    clock.lap("evaluate")
    event("trained", pairs=len(trainer.train_dataset), seconds=clock.laps)
    target = config["folder"]
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
                    name: {"loss": each["eval_loss"], "accuracy": each["eval_accuracy"]}
                    for name, each in figures.items()
                },
            },
        )
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(__doc__, [train])
