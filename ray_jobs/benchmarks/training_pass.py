"""The training benchmark: time per label of our steps and of TRL's."""

from typing import Any

import torch

from inflib.benchmarks.gradient_speed import Settings
from inflib.benchmarks.training_speed import measure
from inflib.report.tables import console, table
from ray_jobs.benchmarks.gradient_pass import bergson_contender


def training_speed(
    pairs: int, shape: str, repeats: int, threads: int, bergson: str | None
) -> dict[str, Any]:
    """Results of inflib.benchmarks.training_speed.measure; prints tables of them.

    bergson: path of a Python that has that library; None leaves it out.
    """
    torch.set_num_threads(threads)
    settings = Settings(shape=shape, num_pairs=pairs, repeats=repeats)
    with bergson_contender(bergson, settings, "float32") as peers:
        results = measure(pairs, shape, repeats, peers)
    rows = [
        {
            "labels": name,
            "TRL, labels per s": results[f"speeds{suffix}"]["trl"]["pairs_per_s"],
            "ours": results[f"speeds{suffix}"]["flat"]["pairs_per_s"],
            "time, ours over TRL's": results[f"flat_over_trl{suffix}"],
            "losses apart": results[f"max_loss_difference{suffix}"],
        }
        for name, suffix in (("HH lengths", ""), ("recurring", "_recurring"))
    ]
    console().print(table(rows, "training"))
    for name in results:
        if name.startswith(("during_over", "audit_over")):
            print(f"{name}: {results[name]:.3f}")
    return results
