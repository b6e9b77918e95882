"""Labels, fair margins and traits to what each labeler prefers, given quality.

    n  labels     l  labelers     f  traits, the first ones of which may be quality

The log-odds of choosing one response over another are a labeler's own weights times the
differences of both in quality and in traits: length, which was shown first, formatting.
Quality is the log-odds with which a typical labeler, who errs, chooses the response
(labeler_model.chosen_odds). Each weight is drawn from a normal distribution over
labelers, whose mean and standard deviation are fitted: a mixed logit model (Train,
Discrete Choice Methods with Simulation, 2009, chapter 6), by expectation maximisation
with Laplace's approximation in place of simulation. So a labeler with few labels is
thought to be like the others.

Whether a labeler differs from the others is tested by the residuals of the labels at
the weights that all share, but for the weight of quality, which is the labeler's own:
whoever errs more often chooses longer responses as seldom as quality is short. Labels
on one prompt count as one observation (numerics.group_means). Beside a few biased
labelers, whoever gave most of the labels differs from "the others", too; so the weight
must also differ from the middle one of all labelers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from scipy.stats import norm

from inflib.numerics.group_means import (
    Estimate,
    Groups,
    differences,
    one_sided,
    shrink,
)

_STEPS, _CLOSE = 500, 1e-5
_LEAST = 1e-6
"""Variance of a weight over labelers at least, in squared log-odds."""


class Weights(NamedTuple):
    """What labelers prefer, in log-odds per root mean square of each trait."""

    weight: Float[np.ndarray, "l f"]
    """Posterior mean: above 0, more of the trait makes a response chosen."""

    low: Float[np.ndarray, "l f"]
    """Lower end of its 95% interval (credible)."""

    high: Float[np.ndarray, "l f"]
    typical: Float[np.ndarray, " f"]
    """Mean over labelers."""

    p_value: Float[np.ndarray, "l f"]
    """Two-sided, of a labeler who is like all others given quality; 1 for quality."""


def weights_given_quality(
    labelers: Int[np.ndarray, " n"],
    prompts: Int[np.ndarray, " n"],
    traits: Float[np.ndarray, "n f"],
    num_quality: int,
) -> Weights:
    """Weights of labelers 0 to l - 1, at least two of them, each with a label.

    prompts: number of each label's prompt; traits: of the chosen response minus the
    rejected one, 0 where unknown; num_quality: columns that measure quality, the first
    ones (0 where there is no fair margin).
    """
    scales = np.sqrt(np.mean(traits**2, axis=0))
    values = traits / np.where(scales > 0, scales, 1)
    weight, covariance, typical, error = _fit(labelers, values)
    errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2) + error)
    half_width = norm.ppf(0.975) * errors
    from_middle = 2 * norm.sf(np.abs(weight - np.median(weight, axis=0)) / errors)
    expected = typical * np.ones_like(weight)
    expected[:, :num_quality] = weight[:, :num_quality]
    surprise = expit(-(values * expected[labelers]).sum(1))
    variance = surprise * (1 - surprise)
    p_values = np.ones_like(weight)
    for k in range(num_quality, values.shape[1]):
        if scales[k] > 0:
            own = values[:, k] - _explained(
                labelers, values[:, k], values[:, :num_quality], variance
            )
            residuals = (own * surprise)[:, None]
            groups = Groups.of(labelers, residuals, np.array([1.0]), prompts)
            plain, (shown, _) = differences(groups), shrink(groups)
            p_values[:, k] = np.maximum.reduce(
                [_two_sided(plain), _two_sided(shown), from_middle[:, k]]
            )
    return Weights(weight, weight - half_width, weight + half_width, typical, p_values)


def _two_sided(estimate: Estimate) -> np.ndarray:
    p_values = one_sided(estimate)
    return 2 * np.minimum(p_values, 1 - p_values)


def _explained(
    labelers: np.ndarray, trait: np.ndarray, quality: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """[n] the part of a trait that goes with quality (weighted least squares): an error
    in a labeler's weight of quality does not move the rest to first order."""
    if quality.shape[1] == 0:
        return np.zeros(len(trait))
    weighted = quality * weights[:, None]
    return quality @ np.linalg.lstsq(weighted.T @ quality, weighted.T @ trait)[0]


def _fit(
    labelers: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(posterior mean [l f] and covariance [l f f] of the weights, their mean over
    labelers [f], its squared error [f])."""
    num_labelers, f = int(labelers.max()) + 1, values.shape[1]
    weight, typical = np.zeros((num_labelers, f)), np.zeros(f)
    spread = np.ones(f)
    pairs = [(i, j) for i in range(f) for j in range(f)]
    for _ in range(_STEPS):
        surprise = expit(-(values * weight[labelers]).sum(1))
        slope = np.stack(
            [np.bincount(labelers, x * surprise, num_labelers) for x in values.T], 1
        )
        curved = surprise * (1 - surprise)
        curvature = np.stack(
            [
                np.bincount(
                    labelers, values[:, i] * values[:, j] * curved, num_labelers
                )
                for i, j in pairs
            ],
            1,
        ).reshape(num_labelers, f, f)
        covariance = np.linalg.inv(curvature + np.diag(1 / spread))
        step = slope - (weight - typical) / spread
        weight = weight + (covariance @ step[:, :, None])[:, :, 0]
        own = np.diagonal(covariance, axis1=1, axis2=2)
        before = np.concatenate([typical, spread])
        typical = weight.mean(0)
        deviations = ((weight - typical) ** 2 + own).sum(0)
        spread = np.maximum(deviations / max(1, num_labelers - 1), _LEAST)
        if np.abs(np.concatenate([typical, spread]) - before).max() < _CLOSE:
            break
    return weight, covariance, typical, _error_of_mean(curvature, spread)


def _error_of_mean(curvature: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """[f] variance of the mean weight: labelers' estimates have the variance of their
    labels plus that between labelers."""
    eye = np.eye(len(spread))
    precision = curvature @ np.linalg.inv(eye + np.diag(spread) @ curvature)
    return np.diagonal(np.linalg.pinv(precision.sum(0)))
