"""Products s . H^-1 v of labels to standard errors, and to which scores are not zero.

    n  labels     l  layers     k  entries of a sketch     g  query groups

s is the margin gradient of a label's comparison, v the query vector. A score has two
errors, independent of each other: that of the sketch, whose inner products have a known
variance (Li & Li, KDD 2023, arXiv:2302.03505, as in numerics.oporp), and that of the
query set, which is a sample of the comparisons that its expert could have labelled.
Influence is -d s . H^-1 v, d being the derivative of the label's loss in the margin, so
its standard error is |d| times that of s . H^-1 v.
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
    """Variance of each label's s . H^-1 v over the sketch's permutation and signs.

    sq_norms: |s|^2 by layer; ihvp: H^-1 v; aligned: s . H^-1 v by layer. To first
    order, without the -2 sum x^2 y^2 of OPORP's variance (small unless few entries hold
    a gradient), so rather too large.

    scales: 1 where H does not depend on the sketch. Where H is a sum of products of
    the same sketches, solved with H + lambda I, part of the error cancels: what is left
    is that of lambda s' (H + lambda I)^-1 in place of s, and scales say how much
    shorter that is, at most 1.
    """
    total = torch.zeros(len(sq_norms), dtype=torch.float64)
    for layer, squares, products in zip(layers, sq_norms.T, aligned, strict=True):
        width = layer.stop - layer.start
        if layer.num_parameters > width:
            factor = (layer.num_parameters - width) / (layer.num_parameters - 1) / width
            ihvp_square = ihvp[layer.bins].square().sum()
            total += factor * (squares * ihvp_square + products.square())
    return scales.square() * total


def query_variance(
    aligned: Float[Tensor, "n g"], shares: Float[Tensor, " g"]
) -> Float[Tensor, " n"]:
    """Variance of each row's sum over draws of the query set: delete-one-group
    jackknife (Tukey, Ann. Math. Stat. 29, 1958).

    aligned: a quantity such as s . H^-1 v of each label (or of an edit, or a mean over
    a group of labels), as shares of the query groups, which add up to it; shares: share
    of the query labels in each query group. Zero when fewer than two query groups hold
    labels: see `query_freedom`.
    """
    filled = int((shares > 0).sum())
    if filled < 2:
        return torch.zeros(len(aligned), dtype=torch.float64)
    # Without group g the sum, scaled to a whole query set, is (sum - a_g) / (1 - s_g).
    changes = (aligned - shares * aligned.sum(1, keepdim=True)) / (1 - shares)
    return changes.square().sum(1) * (filled - 1) / filled


def query_freedom(shares: np.ndarray) -> float:
    """Degrees of freedom of `query_variance`; 0 when it cannot be estimated.

    With equal query groups, the filled ones less one. With unequal ones fewer, since a
    few of them say most (Satterthwaite, for independent labels: the variance is then a
    quadratic form with covariance diag(s) - s s').
    """
    if (shares > 0).sum() < 2:
        return 0.0
    second, third = (shares**2).sum(), (shares**3).sum()
    return float((1 - second) ** 2 / (second - 2 * third + second**2))


def discoveries(
    scores: np.ndarray, errors: np.ndarray, level: float, freedom: float
) -> np.ndarray:
    """Whether each score differs from zero, at false discovery rate `level`.

    Two-sided Student t with `freedom` degrees of freedom, then Benjamini & Hochberg
    (1995). Scores without a value (NaN), or without an error, are not discovered.
    """
    known = np.isfinite(scores) & (errors > 0)
    discovered = np.zeros(len(scores), dtype=bool)
    if known.any():
        p_values = 2 * t.sf(np.abs(scores[known]) / errors[known], freedom)
        discovered[known] = discover(p_values, level)
    return discovered


def discover(p_values: np.ndarray, level: float) -> np.ndarray:
    """Whether each hypothesis is rejected at false discovery rate `level` (Benjamini &
    Hochberg, 1995)."""
    return false_discovery_control(p_values) <= level


def t_interval(values: list[float]) -> dict[str, float | None]:
    """Mean of independent values, and its 95% interval by Student's t.

    A single value has no interval: low and high are None.
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    half_width = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)
    return {"mean": mean, "low": mean - half_width, "high": mean + half_width}
