"""The fidelity benchmark: scores from sketches and from whole gradients of a run."""

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
    """For every K, dtype and curvature: agreement with whole gradients (and, with the
    name of a truth column, the AUC of both); for the first dtype over `seeds` draws of
    the sketch: coverage of 95% intervals (0: none)."""
    recipe = load_recipe(None, {"run": run})
    name = recipe.query_set(query, "--query")
    train, asked = load(recipe, labels, name, truth)
    config = ScoreConfig.model_validate(
        {
            "curvatures": _KINDS,
            "damping": [damping],
            "query_groups": 1,
            "tolerance": 1e-4,
        }
    )
    exact = exact_scores(train, asked, config)
    rows = []
    for size in sizes:
        for dtype in dtypes:
            table = compressed_scores(train, asked, config, dtype, size, seed=0)
            for kind in config.curvatures:
                found = table[INFLUENCE.of(kind, "query")].to_numpy()
                figures = agreement(found, exact[kind])
                if truth:
                    figures |= {
                        "auc": _auc(found, train.wrong),
                        "exact_auc": _auc(exact[kind], train.wrong),
                    }
                about = {"k": size, "dtype": dtype, "curvature": kind}
                bytes_per_label = {"bytes": size * _BYTES[dtype]}
                rows.append(about | figures | bytes_per_label)
                print(rows[-1], flush=True)
    tables = [
        compressed_scores(train, asked, config, dtypes[0], sizes[0], seed)
        for seed in range(seeds)
    ]
    return {
        "run": recipe.run,
        "labels": len(train.margins),
        "query_labels": len(asked.margins),
        "parameters": train.grads.shape[1],
        "damping": config.damping[0],
        "agreement": rows,
        "coverage": {
            kind: _coverage(tables, kind, exact[kind])
            for kind in (config.curvatures if tables else ())
        },
    }


def _auc(scores: np.ndarray, wrong: np.ndarray) -> float:
    found = detection(scores, wrong)
    if found is None:
        raise ValueError("--truth: none, or all, of these labels are wrong")
    return found["auc"]


def _coverage(tables: list[Any], kind: str, exact: np.ndarray) -> dict[str, float]:
    """Of 95% intervals by the sketch's standard errors, over seeds and labels; and the
    median over labels of the mean standard error over the spread of the scores."""
    scores = np.stack([t[INFLUENCE.of(kind, "query")].to_numpy() for t in tables])
    errors = np.stack([t[ERROR.of(kind, "query")].to_numpy() for t in tables])
    covered = np.abs(scores - exact) <= norm.ppf(0.975) * errors
    spread = scores.std(0, ddof=1)
    some = spread > 0
    return {
        "coverage": float(covered[:, some].mean()),
        "error_over_spread": statistics.median(errors.mean(0)[some] / spread[some]),
    }
