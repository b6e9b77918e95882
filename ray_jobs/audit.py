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

from inflib.checking import check
from inflib.cli import parse
from inflib.config import Recipe
from ray_jobs.prepare import prepare
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.session import exit_on_bad_input, main
from ray_jobs.sketch import sketch
from ray_jobs.train import train

STAGES: list[Callable[[Recipe], None]] = [prepare, train, sketch, score, report]


@exit_on_bad_input
def check_run(run: str) -> None:
    """Print what is wrong with a run; exit with 1 if anything is."""
    recipe = parse(__doc__ or "", ["--run", run])
    problems = check(recipe)
    for problem in problems:
        print(problem)
    print(f"{recipe.run}: {f'{len(problems)} problems' if problems else 'whole'}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"] and len(sys.argv) == 3:
        check_run(sys.argv[2])
    main(__doc__, STAGES)
