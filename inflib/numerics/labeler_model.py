"""Labels and fair margins to the error rate of every labeler, with an interval.

    n  labels     l  labelers     q  trusted labels     e  values of an error rate
    h  values of the prior's parameters     b  values of the slope

The model is Dawid & Skene's (Appl. Stat. 28, 1979) with one coin for each labeler,
whose prior on the truth is a reward model's opinion: on each comparison the truth is
what the margin says with log-odds slope * margin (a reward model is badly calibrated:
the slope is unknown), and a labeler repeats it but errs at a rate of their own. Rates
come from one Beta distribution, whose mean and concentration are unknown, too. The
margin is fair: of a model that saw no label on this prompt (cross-fitted). So rates
have a posterior also where every comparison has one label, and nobody to agree with.

Where the margins say little, labels alone show rates only up to the slope: a labeler
errs twice as much as another. Trusted labels, which do not err, fix the slope.

Errors are taken to fall on labels at random. Who chooses by a trait that a margin also
goes by, such as length, agrees with the model more than anybody who sees the truth
would, and is given too low a rate: read it beside numerics.labeler_preferences.

Posteriors are sums over grids, with no sampling: exact where each comparison has one
label. Of several labels on a comparison, each is judged by the margin and the others',
with these labelers at their mean rates (as in belief propagation). A labeler may err on
all labels of a prompt together: likelihoods are raised to the power of one over the
design effect (Kish, Survey Sampling, 1965, section 8.2), that of the labels' scores.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, log_expit, logit, logsumexp

_RATES = (np.arange(200) + 0.5) / 200
_MEANS = (np.arange(24) + 0.5) / 48
"""Mean error rates of labelers: on average they are better than chance."""

_CONCENTRATIONS = np.geomspace(2, 300, 12)
_SLOPES = np.concatenate([[0.0], np.geomspace(0.03, 10, 24)])
"""Slopes per root mean square of the margins; a flat prior over these points."""

_ODDS = np.linspace(-12, 12, 241)
"""Log-odds between which labels are interpolated."""

_STEPS, _CLOSE = 30, 1e-4
_START = 0.2
"""Error rate of everyone at first."""


class ErrorRates(NamedTuple):
    """What is known of the labelers and their labels."""

    rate: Float[np.ndarray, " l"]
    """Posterior mean of each labeler's error rate."""

    low: Float[np.ndarray, " l"]
    """Lower end of its 95% interval (credible)."""

    high: Float[np.ndarray, " l"]
    wrong: Float[np.ndarray, " n"]
    """Posterior probability that each label is wrong."""

    odds: Float[np.ndarray, " n"]
    """Log-odds that the truth is what the label says, by all but the label itself."""

    typical: float
    """Mean of the error rates of labelers, by the prior that they come from."""

    slope: float
    """Posterior mean of the log-odds of the truth per unit of margin."""


def error_rates(
    labelers: Int[np.ndarray, " n"],
    comparisons: Int[np.ndarray, " n"],
    signs: Float[np.ndarray, " n"],
    margins: Float[np.ndarray, " n"],
    prompts: Int[np.ndarray, " n"],
    trusted: Float[np.ndarray, " q"],
) -> ErrorRates:
    """Error rates of labelers 0 to l - 1, each with a label.

    comparisons, prompts: number of each label's comparison and prompt; signs: 1 or -1,
    which of the two responses was chosen, 0 for a tie, whose margin is 0 and which says
    nothing; margins: of the chosen response over the other, by a model that saw no
    label on the prompt; trusted: such margins of trusted labels, [0] where there are
    none.
    """
    first = _fitted(labelers, comparisons, signs, margins, trusted, 1.0)
    effect = _design_effect(labelers, prompts, first)
    if effect == 1:
        return first
    return _fitted(labelers, comparisons, signs, margins, trusted, 1 / effect)


def _design_effect(
    labelers: np.ndarray, prompts: np.ndarray, rates: ErrorRates
) -> float:
    """How much more the labels' scores (derivatives of their log likelihood in the
    error rate) vary, summed over a labeler's labels on a prompt, than if these were
    independent; at least 1."""
    right = expit(rates.odds)
    rate = rates.rate[labelers]
    scores = (1 - 2 * right) / (rate + (1 - 2 * rate) * right)
    scores -= (np.bincount(labelers, scores) / np.bincount(labelers))[labelers]
    _, cells = np.unique(labelers * (prompts.max() + 1) + prompts, return_inverse=True)
    alone = (scores**2).sum()
    together = (np.bincount(cells, scores) ** 2).sum()
    return max(1.0, float(together / alone)) if alone > 0 else 1.0


def _fitted(
    labelers: np.ndarray,
    comparisons: np.ndarray,
    signs: np.ndarray,
    margins: np.ndarray,
    trusted: np.ndarray,
    power: float,
) -> ErrorRates:
    """The same with likelihoods of labels raised to a power."""
    scale = float(np.sqrt(np.mean(margins**2))) or 1.0
    slopes = _SLOPES / scale
    logs, posteriors, odds = [], [], []
    rates = np.full(int(labelers.max()) + 1, _START)
    for slope in slopes:
        log, given, of_others, rates = _given_slope(
            labelers, comparisons, signs, slope * margins, rates, power
        )
        logs.append(log + log_expit(slope * trusted).sum())
        posteriors.append(given)
        odds.append(of_others)
    weights = np.exp(np.array(logs) - logsumexp(logs))
    posterior = np.tensordot(weights, np.array([p.rates for p in posteriors]), 1)
    rate = posterior @ _RATES
    judged = np.tensordot(weights, np.array(odds), 1)
    cumulated = np.cumsum(posterior, axis=1)
    low, high = (
        _RATES[np.minimum((cumulated < share).sum(1), len(_RATES) - 1)]
        for share in (0.025, 0.975)
    )
    return ErrorRates(
        rate,
        low,
        high,
        expit(logit(rate[labelers]) - judged),
        judged,
        float(weights @ [p.typical for p in posteriors]),
        float(weights @ slopes),
    )


def chosen_odds(rates: ErrorRates) -> Float[np.ndarray, " n"]:
    """Log-odds with which a typical labeler says what each label says."""
    right = expit(rates.odds)
    return logit(rates.typical + (1 - 2 * rates.typical) * right)


class _Posterior(NamedTuple):
    rates: np.ndarray
    """[l e] posterior probability of each labeler's error rate."""

    typical: float


@cache
def _beta_densities() -> np.ndarray:
    """[h e] probability of each error rate by Beta priors, mean by mean."""
    means, counts = (x.ravel() for x in np.meshgrid(_MEANS, _CONCENTRATIONS))
    logs = np.outer(means * counts - 1, np.log(_RATES))
    logs += np.outer((1 - means) * counts - 1, np.log1p(-_RATES))
    return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))


@cache
def _likelihoods() -> np.ndarray:
    """[odds e] log probability of a label at each of _ODDS, by each error rate."""
    right = expit(_ODDS)[:, None]
    return np.log(_RATES + (1 - 2 * _RATES) * right)


def _given_slope(
    labelers: np.ndarray,
    comparisons: np.ndarray,
    signs: np.ndarray,
    prior: np.ndarray,
    rates: np.ndarray,
    power: float,
) -> tuple[float, _Posterior, np.ndarray, np.ndarray]:
    """(log evidence, posterior, log-odds [n] by all but the label itself, mean rate of
    each labeler), with the prior log-odds [n] of the truth; rates: to begin with."""
    several = len(np.unique(comparisons)) < len(comparisons)
    for _ in range(_STEPS if several else 1):
        votes = -logit(np.clip(rates, 1e-3, 1 - 1e-3))[labelers] * signs
        all_votes = np.bincount(comparisons, votes)[comparisons]
        odds = prior + signs * (all_votes - votes)
        likelihood = evidence = power * _likelihood(labelers, odds)
        if several:  # each by the labels before it: a product over all labels
            earlier = prior + signs * _before(comparisons, votes)
            evidence = power * _likelihood(labelers, earlier)
        log, posterior = _over_priors(likelihood, evidence)
        before, rates = rates, posterior.rates @ _RATES
        if np.abs(rates - before).max() < _CLOSE:
            break
    return log, posterior, odds, rates


def _before(comparisons: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """[n] sum of the votes on the same comparison that come before each."""
    order = np.argsort(comparisons, kind="stable")
    total = np.cumsum(votes[order]) - votes[order]
    first = np.searchsorted(comparisons[order], comparisons[order])
    sums = np.empty(len(votes))
    sums[order] = total - total[first]
    return sums


def _likelihood(labelers: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """[l e] log likelihood of each labeler's labels at each error rate."""
    place = np.interp(odds, _ODDS, np.arange(len(_ODDS)))
    left = np.minimum(place.astype(int), len(_ODDS) - 2)
    size = (int(labelers.max()) + 1) * len(_ODDS)
    cell = labelers * len(_ODDS) + left
    counts = np.bincount(cell, 1 - (place - left), size)
    counts += np.bincount(cell + 1, place - left, size)
    return counts.reshape(-1, len(_ODDS)) @ _likelihoods()


def _over_priors(
    likelihood: np.ndarray, evidence: np.ndarray
) -> tuple[float, _Posterior]:
    """(log evidence, posterior) over the grid of Beta priors, all as likely before.

    likelihood: [l e] that rates are judged by; evidence: [l e] that priors are.
    """
    densities = _beta_densities()
    of_labels, peak = _scaled(evidence)
    logs = np.log(of_labels @ densities.T).sum(0)
    weights = np.exp(logs - logsumexp(logs))
    scaled, _ = _scaled(likelihood)
    rates = scaled * ((weights / (scaled @ densities.T)) @ densities)
    log = float(logsumexp(logs) - np.log(len(logs)) + peak)
    return log, _Posterior(rates, float(weights @ densities @ _RATES))


def _scaled(logs: np.ndarray) -> tuple[np.ndarray, float]:
    """(likelihoods with a largest value of 1 in each row, sum of what was taken out)"""
    peak = logs.max(1, keepdims=True)
    return np.exp(logs - peak), float(peak.sum())
