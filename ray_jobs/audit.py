"""An audit, all stages in order. Rerun to resume; a finished run is left as it is.

python -m ray_jobs.audit --config recipes/demo.yaml --run runs/mine
ray job submit --working-dir . -- python -m ray_jobs.audit --config recipes/X.yaml
"""

from collections.abc import Callable

from inflib.config import Recipe
from ray_jobs.prepare import prepare
from ray_jobs.report import report
from ray_jobs.score import score
from ray_jobs.session import main
from ray_jobs.sketch import sketch
from ray_jobs.train import train

STAGES: list[Callable[[Recipe], None]] = [prepare, train, sketch, score, report]

if __name__ == "__main__":
    main(__doc__, STAGES)
