"""What the entry points share: command line to recipe, Ray, stage records, errors."""

import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayTaskError

from inflib.config.cli import parse
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


def exit_on_bad_input(job: Callable[..., None]) -> Callable[..., None]:
    """Print an error in the input as one line and exit with 2."""

    @functools.wraps(job)
    def guarded(*arguments: Any) -> None:
        try:
            job(*arguments)
        except (ValueError, OSError) as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            print(f"error: {cause}", file=sys.stderr)
            sys.exit(2)

    return guarded


@exit_on_bad_input
def main(doc: str | None, stages: list[Callable[[Recipe], None]]) -> None:
    """Run stages on the recipe of the command line."""
    run_stages(parse(doc or "", sys.argv[1:]), stages)


def run_stages(recipe: Recipe, stages: list[Callable[[Recipe], None]]) -> None:
    """Bind the run folder to the recipe, then run the stages; stop Ray if started.

    One driver per run folder at a time: what another one is writing looks half-written.
    """
    bind(recipe)
    run = Folder(recipe.run)
    half_written = run.half_written()
    for name in half_written:
        print(f"deleted {run.url}/{name}, left half-written by an earlier run")
    run.delete(*half_written)
    ours = not ray.is_initialized()
    try:
        for stage in stages:
            stage(recipe)
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

    def skip(self, why: str = "complete, nothing to do") -> None:
        print(f"{self.name}: {why}", flush=True)

    def done(self, facts: dict[str, Any], record: dict[str, Any] | None = None) -> None:
        """Record facts and say them, with wall seconds and the folder's bytes.

        `record` is kept beside them, unsaid.
        """
        facts = {
            "seconds": round(time.monotonic() - self._started, 2),
            **facts,
            "bytes": self.folder.num_bytes(),
        }
        self.folder.write_json("done.json", facts | (record or {}))
        said = ", ".join(f"{name} {value}" for name, value in facts.items())
        print(f"{self.name}: {said}", flush=True)
