"""Labels that are right or wrong to the share of right ones, with its interval.

    n  labels     c  clusters: labels of one prompt, say, which are right together

The interval is Wilson's (J. Am. Stat. Assoc. 22, 1927) for as many labels as would have
this variance if they were independent, with Student's t for the normal quantile (Dean &
Pagano, J. Surv. Stat. Methodol. 3, 2015, on Wilson's interval for clustered data); the
variance is the delete-one-cluster jackknife's.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy.stats import t

from inflib.numerics.uncertainty import query_freedom, query_variance


class ClusteredMean(NamedTuple):
    """Mean of values in clusters."""

    mean: float
    variance: float
    """Squared standard error; 0 with fewer than two clusters."""

    freedom: float
    """Degrees of freedom of the variance; 0 with fewer than two clusters."""

    labels: int
    clusters: int


class Share(NamedTuple):
    """Share of labels that are right, and its 95% interval."""

    share: float
    low: float
    high: float
    labels: int
    clusters: int


def clustered_mean(
    values: Float[np.ndarray, " n"], clusters: Shaped[np.ndarray, " n"]
) -> ClusteredMean:
    """Mean of the values, at least one, with its error over draws of clusters."""
    names, numbers = np.unique(clusters, return_inverse=True)
    shares = np.bincount(numbers) / len(values)
    parts = np.bincount(numbers, values) / len(values)
    variance = query_variance(torch.from_numpy(parts[None]), torch.from_numpy(shares))
    return ClusteredMean(
        float(values.mean()),
        float(variance),
        query_freedom(shares),
        len(values),
        len(names),
    )


def clustered_share(
    right: Shaped[np.ndarray, " n"], clusters: Shaped[np.ndarray, " n"]
) -> Share | None:
    """Share of the labels that are right; None where they are in fewer than two
    clusters: it has no interval."""
    if len(np.unique(clusters)) < 2:
        return None
    of = clustered_mean(right.astype(float), clusters)
    alone = of.mean * (1 - of.mean) / of.labels
    # All right or all wrong: the labels of a cluster may say one thing.
    effective = of.clusters if alone == 0 else of.labels / max(1, of.variance / alone)
    square = float(t.ppf(0.975, of.freedom)) ** 2 / effective
    middle = (of.mean + square / 2) / (1 + square)
    of_mean = of.mean * (1 - of.mean)
    half_width = (square * of_mean + square**2 / 4) ** 0.5 / (1 + square)
    low, high = max(0.0, middle - half_width), min(1.0, middle + half_width)
    return Share(of.mean, low, high, of.labels, of.clusters)
