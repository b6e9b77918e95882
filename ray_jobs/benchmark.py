"""Benchmarks: ratios between things run side by side in one call.

    inflib benchmark gradients --json FILE
    python -m ray_jobs.benchmark scale --json FILE --pairs 100000

Each has its own --help.
"""

import json
import os
from pathlib import Path
from typing import Any

import click

_JSON = click.option(
    "--json", "target", type=click.Path(), required=True, help="File of the figures."
)


@click.group(
    "benchmark",
    help=(__doc__ or "").replace("\n\n", "\n\n\b\n"),
    context_settings={"show_default": True},
)
def command() -> None:
    from ray_jobs.shared.session import QUIET

    os.environ.update(QUIET)


@command.command()
@_JSON
@click.option("--repeats", default=3, help="Rounds in which all run in turn.")
@click.option("--threads", default=2, help="Of torch.")
@click.option("--shape", default="llama-31m", help="Of the model.")
@click.option("--pairs", default=48, help="Pairs, with the lengths of HH's.")
@click.option("--dtypes", default="float32,bfloat16", help="Of the model.")
@click.option("--bergson", help="Python that has the peer library bergson.")
def gradients(
    target: str,
    repeats: int,
    threads: int,
    shape: str,
    pairs: int,
    dtypes: str,
    bergson: str | None,
) -> None:
    """Pairs per second of the gradient pass, of a training step's forward and backward
    on the same pairs, of other ways to per-pair gradients; of single responses against
    comparisons; of one and two Ray workers against a bare loop."""
    from inflib.benchmarks.gradient_speed import Settings
    from ray_jobs.benchmarks.gradient_pass import gradient_speed

    settings = Settings(shape=shape, num_pairs=pairs, repeats=repeats)
    _write(target, gradient_speed(settings, threads, dtypes.split(","), bergson))


@command.command()
@_JSON
@click.option("--pairs", default=100_000, help="Of the large size; the small: a tenth.")
@click.option("--dtypes", default="int8,float16", help="Of stored sketches.")
@click.option(
    "--stores",
    default="local",
    help="s3 needs AWS_ENDPOINT_URL and its credentials (scripts/s3_server.sh start).",
)
def scale(target: str, pairs: int, dtypes: str, stores: str) -> None:
    """Seconds, bytes, S3 requests and peak memory of prepare, sketch and score at two
    sizes, with a tiny model, K = 65,536 and two workers."""
    from ray_jobs.benchmarks.scale import scale_up

    _write(target, scale_up(pairs, dtypes.split(","), stores.split(",")))


@command.command()
@_JSON
@click.option("--pairs", default=100_000, help="Labels.")
@click.option("--k", default=65_536, help="Entries of a sketch.")
@click.option("--dtype", default="int8", help="Of stored sketches.")
@click.option("--queries", default=8, help="Query sets.")
@click.option("--groups", default=1, help="Query groups (standard errors).")
@click.option("--repeats", default=3, help="Rounds in which all run in turn.")
@click.option("--folder", help="Where the sketches are put.")
@click.option("--curvatures", default="datainf,identity,gauss_newton")
def scoring(target: str, curvatures: str, **settings: Any) -> None:
    """Seconds of scoring generated sketches on disk with two workers, and of two plain
    sequential reads of the same files; errors against float64."""
    from ray_jobs.benchmarks.scoring_speed import scoring_speed

    _write(target, scoring_speed(curvatures=curvatures.split(","), **settings))


@command.command()
@_JSON
@click.option("--run", required=True, help="A run that is trained.")
@click.option("--labels", default=800, help="Training labels, at most.")
@click.option("--query", help="Query set; default: the first one.")
@click.option("--k", default="65536,16384,4096", help="Entries of a sketch.")
@click.option("--dtypes", default="float32,float16,int8", help="Of stored sketches.")
@click.option("--damping", default=0.01, help="Of Gauss-Newton and Fisher.")
@click.option("--seeds", default=20, help="Draws for coverage; 0: none.")
@click.option("--truth", help="Boolean column of wrong labels: adds AUCs.")
def fidelity(target: str, k: str, dtypes: str, **settings: Any) -> None:
    """Scores from sketches against scores from whole gradients of a trained run's
    model, for every K, dtype and curvature; coverage of intervals over draws of the
    sketch."""
    from ray_jobs.benchmarks.fidelity import fidelity as measure

    sizes = [int(size) for size in k.split(",")]
    _write(target, measure(sizes=sizes, dtypes=dtypes.split(","), **settings))


def _write(target: str, figures: dict[str, Any]) -> None:
    Path(target).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("benchmark")
