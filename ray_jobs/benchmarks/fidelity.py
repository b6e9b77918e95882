"""The fidelity benchmark: scores from sketches against scores from whole gradients."""

import statistics
from typing import Any

import numpy as np
from scipy.stats import norm

from inflib.benchmarks.whole_gradients import (
    agreement,
    compressed_scores,
    exact_scores,
    load,
)
from inflib.config.cli import load as load_recipe
from inflib.config.score import ScoreConfig
from inflib.data.output_columns import ERROR, INFLUENCE
from inflib.numerics.ranking import detection

_KINDS = ("identity", "datainf", "datainf_layer", "gauss_newton", "empirical_fisher")
_BYTES = {"float32": 4, "float16": 2, "int8": 1}


def fidelity(
    run: str,
    labels: int,
    query: str | None,
    sizes: list[int],
    dtypes: list[str],
    damping: float,
    seeds: int,
    truth: str | None,
) -> dict[str, Any]:
    """Agreement with whole gradients for every K (sizes), dtype and curvature.

    truth: column of wrong labels, which adds the AUC of both kinds of scores. Coverage
    of 95% intervals is of the first size and dtype, over `seeds` draws of the sketch
    (0: none). Raises ValueError for an unknown query set.
    """
    recipe = load_recipe(None, {"run": run})
    name = recipe.query_set(query, "--query")
    train, queries = load(recipe, labels, name, truth)
    config = ScoreConfig.model_validate(
        {
            "curvatures": _KINDS,
            "damping": [damping],
            "query_groups": 1,
            "tolerance": 1e-4,
        }
    )
    exact = exact_scores(train, queries, config)
    rows = []
    for size in sizes:
        for dtype in dtypes:
            table = compressed_scores(train, queries, config, dtype, size, seed=0)
            for kind in config.curvatures:
                scores = table[INFLUENCE.of(kind, "query")].to_numpy()
                metrics = agreement(scores, exact[kind])
                if truth:
                    metrics |= {
                        "auc": _auc(scores, train.wrong),
                        "exact_auc": _auc(exact[kind], train.wrong),
                    }
                setting = {"k": size, "dtype": dtype, "curvature": kind}
                bytes_per_label = {"bytes": size * _BYTES[dtype]}
                rows.append(setting | metrics | bytes_per_label)
                print(rows[-1], flush=True)
    tables = [
        compressed_scores(train, queries, config, dtypes[0], sizes[0], seed)
        for seed in range(seeds)
    ]
    return {
        "run": recipe.run,
        "labels": len(train.margins),
        "query_labels": len(queries.margins),
        "parameters": train.grads.shape[1],
        "damping": config.sweep[0],
        "agreement": rows,
        "coverage": {
            kind: _coverage(tables, kind, exact[kind])
            for kind in (config.curvatures if tables else ())
        },
    }


def _auc(scores: np.ndarray, wrong: np.ndarray) -> float:
    """AUC of finding the wrong labels. Raises ValueError when one class is empty."""
    metrics = detection(scores, wrong)
    if metrics is None:
        raise ValueError("--truth: none, or all, of these labels are wrong")
    return metrics["auc"]


def _coverage(tables: list[Any], kind: str, exact: np.ndarray) -> dict[str, float]:
    """How well the sketch's standard errors hold, over tables of several seeds.

    coverage: share of (seed, label) whose exact score lies in score +- 1.96 errors.
    error_over_spread: median over labels of mean error / standard deviation over seeds.
    """
    scores = np.stack([t[INFLUENCE.of(kind, "query")].to_numpy() for t in tables])
    errors = np.stack([t[ERROR.of(kind, "query")].to_numpy() for t in tables])
    covered = np.abs(scores - exact) <= norm.ppf(0.975) * errors
    spread = scores.std(0, ddof=1)
    varies = spread > 0
    return {
        "coverage": float(covered[:, varies].mean()),
        "error_over_spread": statistics.median(errors.mean(0)[varies] / spread[varies]),
    }
