"""Is a run whole?"""

import sys

from inflib.config.cli import parse
from inflib.run_check import check
from ray_jobs.shared.session import exit_on_bad_input


@exit_on_bad_input
def check_run(run: str) -> None:
    """Print what is wrong with a run; exit with 1 if anything is."""
    recipe = parse(__doc__ or "", ["--run", run])
    problems = check(recipe)
    for problem in problems:
        print(problem)
    print(f"{recipe.run}: {f'{len(problems)} problems' if problems else 'whole'}")
    sys.exit(bool(problems))
