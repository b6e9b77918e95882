"""Run an audit: all five stages in order.

    inflib audit --config recipes/demo.yaml --run runs/mine
    ray job submit --working-dir . -- python -m ray_jobs.audit --config recipes/X.yaml

Runs prepare, train, sketch, score and report. Rerun to resume; stages that are complete
are left as they are. To add labels, name more files in prepare.train.path, or add rows
to those files, and rerun: only new comparisons are sketched, then all labels are scored
again. `inflib check` verifies the files of a run.
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
