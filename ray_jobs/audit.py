"""An audit, all stages in order. Rerun to resume; a finished run is left as it is.

    python -m ray_jobs.audit --config recipes/demo.yaml --run runs/mine
    ray job submit --working-dir . -- python -m ray_jobs.audit --config recipes/X.yaml
    python -m ray_jobs.audit --check runs/mine

More labels: rerun with prepare.train.path naming more files, or the same with rows
added; only new comparisons are sketched, then all labels are scored again.
--check verifies every digest, count and manifest of a run and exits with 1, listing
what is wrong, unless it is whole.
"""

import sys
from collections.abc import Callable

from inflib.config.recipe import Recipe
from ray_jobs.prepare import prepare
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.shared.session import main
from ray_jobs.sketch import sketch
from ray_jobs.train import train

STAGES: list[Callable[[Recipe], None]] = [prepare, train, sketch, score, report]


if __name__ == "__main__":
    from ray_jobs.check import check_run

    if sys.argv[1:2] == ["--check"] and len(sys.argv) == 3:
        check_run(sys.argv[2])
    main(__doc__, STAGES)
