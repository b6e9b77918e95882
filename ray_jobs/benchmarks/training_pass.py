"""The training benchmark: time per label of our steps and of TRL's."""

from typing import Any

import torch

from inflib.benchmarks.training_speed import measure
from inflib.report.tables import console, table


def training_speed(
    pairs: int, shape: str, repeats: int, threads: int
) -> dict[str, Any]:
    """Results of inflib.benchmarks.training_speed.measure; prints a table of them."""
    torch.set_num_threads(threads)
    results = measure(pairs, shape, repeats)
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
    return results
