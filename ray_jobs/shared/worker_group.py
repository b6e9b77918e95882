"""Groups of workers that compute one thing together, by Ray Train."""

from collections.abc import Callable
from typing import Any

from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from inflib.config.recipe import SketchConfig
from inflib.config.training import TrainConfig
from inflib.storage.folder import Folder, open_filesystem


def run_group(
    work: Callable[[dict[str, Any]], None],
    given: dict[str, Any],
    workers: TrainConfig | SketchConfig,
    max_failures: int,
    folder: Folder,
    name: str,
) -> None:
    """Call work(given) in as many workers as a section of the recipe asks for.

    folder/name gets Ray Train's checkpoints. A group of which a worker fails is started
    anew, so many times; then its error is raised.
    """
    filesystem, path = open_filesystem(folder.url)
    gpus = workers.gpus_per_worker
    result = TorchTrainer(
        work,
        train_loop_config=given,
        scaling_config=ScalingConfig(
            num_workers=workers.workers,
            use_gpu=gpus > 0,
            resources_per_worker={
                "CPU": workers.cpus_per_worker,
                **({"GPU": gpus} if gpus else {}),
            },
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=None
            if folder.is_local
            else PyFileSystem(FSSpecHandler(filesystem)),
            failure_config=FailureConfig(
                max_failures=max_failures, controller_failure_limit=max_failures
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
    if result.error is not None:
        raise result.error
