"""What the entry points share: Ray, the run folder, stage records."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray

from inflib.config.loading import bind
from inflib.config.recipe import Recipe
from inflib.storage.folder import Folder

QUIET = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # thousands of junk log lines otherwise
    "TOKENIZERS_PARALLELISM": "false",  # workers fork after tokenising
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",  # a new score head is reported as missing
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::UserWarning",
}

EMBEDDED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray ends a worker that is idle for a second; the next stage would wait seconds for
    # new ones that import the same modules again.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
}
"""Settings of a Ray that we start, unless the environment has them."""


def run_stages(recipe: Recipe, stages: Sequence[Callable[[Recipe], Any]]) -> Any:
    """Bind the run folder to the recipe, then run the stages; stop Ray if started.

    Returns what the last stage returned.

    One driver per run folder at a time: what another one is writing looks half-written.
    """
    bind(recipe)
    run = Folder(recipe.run)
    half_written = run.half_written()
    for name in half_written:
        print(f"deleted {run.url}/{name}, left half-written by an earlier run")
    run.delete(*half_written)
    ours, result = not ray.is_initialized(), None
    try:
        for stage in stages:
            result = stage(recipe)
        return result
    finally:
        if ours:
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


class Stage:
    """A stage's record in its output folder: complete when `done.json` is there."""

    def __init__(self, name: str, folder: Folder) -> None:
        self.name, self.folder = name, folder
        self._started = time.monotonic()

    def is_current(self, inputs: str) -> bool:
        """Whether the folder is complete, and of these inputs (a digest)."""
        done = self.folder.exists("done.json")
        return done and self.folder.read_json("done.json").get("inputs") == inputs

    def skip(self, why: str = "complete, nothing to do") -> dict[str, Any]:
        """Say why nothing is done; returns the record, where there is one."""
        print(f"{self.name}: {why}", flush=True)
        done = self.folder.exists("done.json")
        return self.folder.read_json("done.json") if done else {}

    def done(
        self, facts: dict[str, Any], record: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Record facts and say them, with wall seconds and the folder's bytes.

        `record` is kept beside them, unsaid. Returns all of it.
        """
        facts = {
            "seconds": round(time.monotonic() - self._started, 2),
            **facts,
            "bytes": self.folder.num_bytes(),
        }
        self.folder.write_json("done.json", facts | (record or {}))
        said = ", ".join(f"{name} {value}" for name, value in facts.items())
        print(f"{self.name}: {said}", flush=True)
        return facts | (record or {})
