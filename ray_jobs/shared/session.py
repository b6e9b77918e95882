"""A recipe's stages, run one after the other on a Ray that is there or started."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import ray

from inflib.config.recipe import Recipe
from inflib.config.run_config import bind, bind_new
from inflib.storage.folder import Folder

QUIET = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # thousands of junk log lines otherwise
    "TOKENIZERS_PARALLELISM": "false",  # workers fork after tokenising
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",  # a new score head is reported as missing
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::UserWarning",
}
"""Environment of the driver and of all workers: keeps libraries from printing."""

EMBEDDED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray ends a worker that is idle for a second; the next stage would wait seconds for
    # new ones that import the same modules again.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # Ray Train looks every two seconds whether workers have started or finished.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Workers without GPUs see none, so that no library takes memory on one.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
"""Environment of a Ray that we start, where the environment has no such variables."""


def run_stages(recipe: Recipe, stages: Sequence[Callable[[Recipe], Any]]) -> Any:
    """Bind the run folder to the recipe and run the stages; returns the last's result.

    Deletes files that an interrupted run left half-written, so that a run folder takes
    one driver at a time. Stops Ray at the end if a stage started it. Options that the
    run did not have stay in its config.json once all stages are through. Raises
    ValueError when the folder was made with another recipe.
    """
    bind_new(recipe)
    run = Folder(recipe.run)
    half_written = run.half_written()
    for name in half_written:
        print(f"deleted {run.url}/{name}, left half-written by an earlier run")
    run.delete(*half_written)
    is_ours, result = not ray.is_initialized(), None
    try:
        for stage in stages:
            result = stage(recipe)
        bind(recipe)
        return result
    finally:
        if is_ours:
            ray.shutdown()


def start_ray(recipe: Recipe) -> None:
    """Connect to RAY_ADDRESS or the recipe's cluster, or start an embedded Ray.

    Stages call it once they know that there is work; it does nothing the second time.
    """
    if ray.is_initialized():
        return
    os.environ.update(QUIET)
    address = os.environ.get("RAY_ADDRESS") or recipe.cluster.address
    embedded = address == "local"
    if embedded:
        for name, value in EMBEDDED.items():
            os.environ.setdefault(name, value)
    ray.init(
        address=address,
        num_cpus=recipe.cluster.num_cpus if embedded else None,
        include_dashboard=True if embedded else None,
        # An embedded Ray inherits the environment; asking for it again would make
        # Ray start fresh worker processes.
        runtime_env=None if embedded else {"env_vars": QUIET},
        logging_level=logging.ERROR,
        log_to_driver=True,
    )
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
