"""Standard errors of influence scores, and which scores differ from zero.

    n  comparisons     l  layers     k  entries of a sketch     g  query groups

Two sources, independent of each other: the sketch, whose inner products have a known
variance (Li & Li, KDD 2023, arXiv:2302.03505, as in numerics.oporp), and the query set,
which is a sample of the pairs that its expert could have labelled.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import false_discovery_control, t
from torch import Tensor

from inflib.numerics.layer_bins import Layer


def sketch_variance(
    sq_norms: Float[Tensor, "n l"],
    ihvp: Float[Tensor, " k"],
    aligned: Float[Tensor, "l n"],
    layers: list[Layer],
    scales: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Variance of s . H^-1 v over draws of the sketch's permutation and signs.

    sq_norms: |s|^2 by layer; aligned: s . H^-1 v by layer. To first order, without the
    -2 sum x^2 y^2 of OPORP's variance (small unless few entries hold a gradient), so
    rather too large.

    scales: 1 where H does not depend on the sketch. Where H is a sum of products of
    the same sketches, solved with H + lambda I, part of the error cancels: what is left
    is that of lambda s' (H + lambda I)^-1 in place of s, and scales say how much
    shorter that is, at most 1.
    """
    total = torch.zeros(len(sq_norms), dtype=torch.float64)
    for layer, norms, found in zip(layers, sq_norms.T, aligned, strict=True):
        width = layer.stop - layer.start
        if layer.num_parameters > width:
            factor = (layer.num_parameters - width) / (layer.num_parameters - 1) / width
            total += factor * (norms * ihvp[layer.bins].square().sum() + found.square())
    return scales.square() * total


def query_variance(
    aligned: Float[Tensor, "n g"], shares: Float[Tensor, " g"]
) -> Float[Tensor, " n"]:
    """Variance of s . H^-1 v over draws of the query set: delete-one-group jackknife.

    aligned: what each group of query labels adds to s . H^-1 v; shares: of the labels,
    in each group. With groups of unequal size, the linearised form (Kish & Frankel,
    1974). Zero when fewer than two groups hold labels.
    """
    filled = int((shares > 0).sum())
    if filled < 2:
        return torch.zeros(len(aligned), dtype=torch.float64)
    away = aligned - shares * aligned.sum(1, keepdim=True)
    return away.square().sum(1) * filled / (filled - 1)


def discoveries(
    scores: np.ndarray, errors: np.ndarray, level: float, freedom: int
) -> np.ndarray:
    """Which scores differ from zero, at false discovery rate `level`.

    Two-sided Student t with `freedom` degrees of freedom, then Benjamini & Hochberg
    (1995). Scores without a value (NaN), or without an error, are not discovered.
    """
    known = np.isfinite(scores) & (errors > 0)
    found = np.zeros(len(scores), dtype=bool)
    if known.any():
        values = 2 * t.sf(np.abs(scores[known]) / errors[known], freedom)
        found[known] = discover(values, level)
    return found


def discover(p_values: np.ndarray, level: float) -> np.ndarray:
    """Which hypotheses are rejected at false discovery rate `level` (Benjamini &
    Hochberg, 1995)."""
    return false_discovery_control(p_values) <= level


def t_interval(values: list[float]) -> dict[str, float | None]:
    """Mean and 95% interval of independent values; no interval of a single one."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    away = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)
    return {"mean": mean, "low": mean - away, "high": mean + away}
