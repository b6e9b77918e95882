"""Measure speed, memory and exactness against references.

    inflib benchmark gradients --json FILE
    python -m ray_jobs.benchmark scale --json FILE --pairs 100000

What is compared runs side by side in one call, since only ratios mean something on a
shared machine. `inflib benchmark NAME --help` shows a benchmark's options.
"""

import json
import os
from pathlib import Path
from typing import Any

import click

from inflib.config.cli import HELP_NAMES
from inflib.config.score import ScoreConfig

_JSON = click.option(
    "--json", "target", type=click.Path(), required=True, help="File for the results."
)


@click.group(
    "benchmark",
    help=(__doc__ or "").replace("\n\n", "\n\n\b\n"),
    context_settings=HELP_NAMES | {"show_default": True},
)
def command() -> None:
    from ray_jobs.shared.session import QUIET

    os.environ.update(QUIET)


@command.command()
@_JSON
@click.option("--repeats", default=3, help="Rounds; in each, all contenders run once.")
@click.option("--threads", default=2, help="Threads of torch.")
@click.option("--shape", default="llama-31m", help="Shape of the random model.")
@click.option("--pairs", default=48, help="Pairs, as long as those of Anthropic HH.")
@click.option("--dtypes", default="float32,bfloat16", help="Dtypes of the model.")
@click.option("--bergson", help="Python with the library bergson: adds it to compare.")
@click.option(
    "--margin",
    type=click.Choice(["reward", "dpo"]),
    default="reward",
    help="dpo: against TRL's DPO step alone, float32.",
)
def gradients(
    target: str,
    repeats: int,
    threads: int,
    shape: str,
    pairs: int,
    dtypes: str,
    bergson: str | None,
    margin: str,
) -> None:
    """Pairs per second of the gradient pass and of other ways.

    Compared with it: forward and backward of a training step on the same pairs, and
    other ways to one gradient per pair. Also single responses against comparisons, and
    one and two Ray workers against a plain loop.
    """
    from inflib.benchmarks.gradient_speed import Settings
    from ray_jobs.benchmarks.gradient_pass import dpo_gradients, gradient_speed

    settings = Settings(shape=shape, num_pairs=pairs, repeats=repeats)
    if margin == "dpo":
        _write(target, dpo_gradients(settings, threads))
        return
    _write(target, gradient_speed(settings, threads, dtypes.split(","), bergson))


@command.command()
@_JSON
@click.option("--pairs", default=48, help="Labels, as long as those of Anthropic HH.")
@click.option("--shape", default="llama-31m", help="Shape of the random model.")
@click.option("--repeats", default=3, help="Rounds; in each, all are run once.")
@click.option("--threads", default=2, help="Threads of torch.")
@click.option(
    "--bergson", help="A Python with the library bergson, to compare with it."
)
def training(target: str, **settings: Any) -> None:
    """Time of training and of a whole audit, against TRL's trainer.

    Trains a random model on the same labels in the same order: with TRL's RewardTrainer
    as users run it, and with our steps, in which prompts and responses are computed
    once, alone and with sketches taken from them. Also on labels whose responses recur,
    and how far apart the losses are. Beside them: gradient passes after training.
    """
    from ray_jobs.benchmarks.training_pass import training_speed

    _write(target, training_speed(**settings))


@command.command()
@_JSON
@click.option("--pairs", default=100_000, help="Pairs of the larger of two runs.")
@click.option("--dtypes", default="int8,float16", help="Dtypes of stored sketches.")
@click.option(
    "--stores",
    default="local",
    help="local, s3, or local,s3; s3 needs AWS_ENDPOINT_URL and its credentials "
    "(scripts/s3_server.sh start).",
)
def scale(target: str, pairs: int, dtypes: str, stores: str) -> None:
    """Time, bytes, requests and memory at two sizes.

    Of prepare, sketch and score: seconds, bytes, S3 requests and peak memory at --pairs
    pairs and at a tenth of them, with a tiny model, K = 65,536 and two workers.
    """
    from ray_jobs.benchmarks.scale import scale_up

    _write(target, scale_up(pairs, dtypes.split(","), stores.split(",")))


@command.command()
@_JSON
@click.option("--pairs", default=100_000, help="Training labels.")
@click.option("--k", default=65_536, help="Entries of a sketch.")
@click.option("--dtype", default="int8", help="Dtype of stored sketches.")
@click.option("--queries", default=8, help="Query sets.")
@click.option(
    "--groups",
    default=ScoreConfig().query_groups,
    help="Query groups; 1: no standard errors, and a single damping.",
)
@click.option("--repeats", default=3, help="Rounds; in each, all are timed once.")
@click.option("--folder", help="Folder to put the sketches in, for the time.")
@click.option(
    "--exact-terms",
    default=ScoreConfig().exact_terms,
    help="score.exact_terms; 0: conjugate gradients without a preconditioner.",
)
@click.option(
    "--curvatures", default="datainf,identity,gauss_newton", help="Curvatures to time."
)
def scoring(target: str, curvatures: str, **settings: Any) -> None:
    """Seconds of scoring, against reading the files.

    Scores made-up sketches on disk with two workers, by each curvature, and times two
    plain sequential reads of the same files. Also errors against float64.
    """
    from ray_jobs.benchmarks.scoring_speed import scoring_speed

    _write(target, scoring_speed(curvatures=curvatures.split(","), **settings))


@command.command()
@_JSON
@click.option("--run", required=True, help="Folder of a run that is trained.")
@click.option("--labels", default=800, help="Training labels, at most.")
@click.option("--query", help="Query set; default: the first one.")
@click.option("--k", default="65536,16384,4096", help="Entries of a sketch.")
@click.option(
    "--dtypes", default="float32,float16,int8", help="Dtypes of stored sketches."
)
@click.option("--damping", default=0.01, help="Damping of Gauss-Newton and Fisher.")
@click.option("--seeds", default=20, help="Sketches drawn for coverage; 0: none.")
@click.option("--truth", help="Boolean column, true for wrong labels: adds AUCs.")
def fidelity(target: str, k: str, dtypes: str, **settings: Any) -> None:
    """Scores from sketches against whole gradients.

    For every K, dtype and curvature: how far scores from sketches agree with those from
    whole gradients of a trained run's model. And how often 95% intervals from the
    sketch's standard errors cover the latter, over sketches drawn with several seeds.
    """
    from ray_jobs.benchmarks.fidelity import fidelity as measure

    sizes = [int(size) for size in k.split(",")]
    _write(target, measure(sizes=sizes, dtypes=dtypes.split(","), **settings))


@command.command()
@_JSON
@click.option("--labels", default=100_000, help="Training labels.")
@click.option("--k", default=65_536, help="Entries of a sketch.")
@click.option("--repeats", default=3, help="Times that the page is opened.")
@click.option("--folder", help="Folder to put the run in, for the time.")
def report(target: str, **settings: Any) -> None:
    """Time, memory and bytes of the report and its page.

    Of made-up labels with texts: the report stage in a process of its own, and how fast
    its page opens, sorts, filters and searches in Chromium, where that and Playwright
    are installed (make test-browser installs both).
    """
    from ray_jobs.benchmarks.report_speed import report_speed

    _write(target, report_speed(**settings))


@command.command()
@_JSON
@click.option("--run", required=True, help="Folder of a run that is sketched.")
@click.option("--also", multiple=True, help="Another run of these labels to compare.")
@click.option("--query", help="Query set; default: the first one.")
@click.option("--halves", default=16, help="Random halves of the labels.")
@click.option("--seeds", default=2, help="Trainings on each choice of labels.")
@click.option(
    "--groups", default=8, help="Random tenths, and labelers, left out one at a time."
)
@click.option("--curves/--no-curves", default=True, help="Drop and flip 1 to 20%.")
@click.option(
    "--default", default="as_scored", help="Estimator to compare others with."
)
@click.option("--truth", help="Boolean column, true for wrong labels: adds AUCs.")
@click.option("--at-once", default=1, help="Trainings that run at the same time.")
def lds(target: str, **settings: Any) -> None:
    """Scores against retraining (linear datamodeling score).

    Trains a run's reward model again on random halves of its labels, without groups of
    them and without the most harmful ones, and compares each query label's margin with
    what every estimator predicts. Retrained models are kept in the run's retrained/:
    rerun to resume, or to add halves and seeds.
    """
    from ray_jobs.benchmarks.lds import lds as measure

    _write(target, measure(**settings))


def _write(target: str, results: dict[str, Any]) -> None:
    Path(target).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("benchmark")
