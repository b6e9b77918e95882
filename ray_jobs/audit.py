"""An audit, all stages in order. Rerun to resume; a finished run is left as it is.

    inflib audit --config recipes/demo.yaml --run runs/mine
    ray job submit --working-dir . -- python -m ray_jobs.audit --config recipes/X.yaml

More labels: rerun with prepare.train.path naming more files, or the same with rows
added; only new comparisons are sketched, then all labels are scored again.
`inflib check` verifies every digest of a run.
"""

from collections.abc import Callable
from typing import Any

from inflib.config.recipe import Recipe
from ray_jobs.prepare import prepare
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.sketch import sketch
from ray_jobs.train import train

STAGES: list[Callable[[Recipe], Any]] = [prepare, train, sketch, score, report]


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("audit")
