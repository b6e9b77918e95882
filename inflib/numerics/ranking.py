"""Scores and true classes of labels to detection metrics, and their uncertainty.

    n  labels     r  resamples     t  distinct thresholds

A positive is a label that is to be found, one that is known to be wrong, say.

auc    area under the ROC curve: how often a positive outranks a negative, ties 1/2
ap     average precision
tnr80  share of the negatives below the threshold that finds 80% of the positives
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

METRICS = ("auc", "ap", "tnr80")
_RECALL = 0.8
"""Share of the positives at which tnr80 has its threshold."""

_WEIGHTS_AT_ONCE = 2_000_000
"""Weights of resamples that are held in memory at a time."""


def detection(scores: np.ndarray, positive: np.ndarray) -> dict[str, float] | None:
    """{metric: value} of finding the positives by high scores.

    scores, positive: of each label. Labels without a score (NaN) are left out; None
    when there are no positives, or no negatives.
    """
    known = np.isfinite(scores)
    scores, positive = scores[known].astype(float), positive[known]
    if positive.all() or not positive.any():
        return None
    metrics = _metrics(Ranking.of(scores), positive, np.ones((1, len(scores))))
    return {name: float(values[0]) for name, values in metrics.items()}


@dataclass(frozen=True)
class Ranking:
    """Labels from the highest score down, tied ones together."""

    order: Int[np.ndarray, " n"]
    """The labels' indices."""

    starts: Int[np.ndarray, " t"]
    """Place in `order` of each threshold's first label."""

    @staticmethod
    def of(scores: Float[np.ndarray, " n"]) -> "Ranking":
        """The ranking by these scores, which must be finite."""
        order = np.argsort(-scores, kind="stable")
        return Ranking(order, np.flatnonzero(np.diff(-scores[order], prepend=-np.inf)))

    def counts(self, weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r t"]:
        """Weight of the labels at or above each threshold, by resample."""
        sums = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return np.cumsum(sums, axis=1)


def curve(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of (positives, negatives) at or above each threshold, the highest first.

    Scores must be finite.
    """
    ranking = Ranking.of(scores)
    positives = ranking.counts(positive[None].astype(float))[0]
    negatives = ranking.counts(~positive[None].astype(bool) * 1.0)[0]
    return positives, negatives


def bootstrap(
    scores: dict[str, np.ndarray],
    positive: Bool[np.ndarray, " n"],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Float[np.ndarray, " r"]]]:
    """{detector: {metric: its value in every bootstrap resample of the labels}}.

    scores: of each detector. All detectors see the same resamples, so differences
    between them are paired. Scores must be finite. A resample without positives or
    without negatives gives NaN.
    """
    rankings = {name: Ranking.of(values) for name, values in scores.items()}
    chunks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scores}
    for weights in _resamples(len(positive), resamples, seed):
        for name, ranking in rankings.items():
            chunks[name].append(_metrics(ranking, positive, weights))
    return {
        name: {
            metric: np.concatenate([values[metric] for values in chunks[name]])
            for metric in METRICS
        }
        for name in scores
    }


def percentile_interval(values: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """95% interval (low, high) by percentiles of bootstrap values, without NaN."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def p_value(differences: Float[np.ndarray, " r"]) -> float:
    """Two-sided p-value of no difference, by the differences in bootstrap resamples.

    At least one over the number of resamples; NaN is left out.
    """
    known = differences[np.isfinite(differences)]
    side = min((known <= 0).mean(), (known >= 0).mean())
    return float(min(1.0, max(2 * side, 1 / len(known))))


def _resamples(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """[r n] how often each resample draws each label, some resamples at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // n)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=count).astype(float)


def _metrics(
    ranking: Ranking, positive: Bool[np.ndarray, " n"], weights: np.ndarray
) -> dict[str, Float[np.ndarray, " r"]]:
    """{metric: its value in each resample}; weights [r n]: how often each label
    counts."""
    positives = ranking.counts(weights * positive)
    negatives = ranking.counts(weights * ~positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        true_rate = positives / positives[:, -1:]
        false_rate = negatives / negatives[:, -1:]
        before = np.zeros((len(weights), 1))
        steps = np.diff(true_rate, axis=1, prepend=before)
        middle = false_rate - np.diff(false_rate, axis=1, prepend=before) / 2
        precision = positives / np.maximum(positives + negatives, 1e-300)
        first = (true_rate >= _RECALL - 1e-9).argmax(1)
        tnr80 = 1 - np.take_along_axis(false_rate, first[:, None], axis=1)[:, 0]
    empty = (positives[:, -1] == 0) | (negatives[:, -1] == 0)
    metrics = {
        "auc": 1 - (steps * middle).sum(1),
        "ap": (steps * precision).sum(1),
        "tnr80": tnr80,
    }
    return {name: np.where(empty, np.nan, values) for name, values in metrics.items()}


def ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of each score: 1: the highest; ties in input order; 0: no score (NaN)."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    rank_of = np.empty(len(scores), dtype=np.int64)
    rank_of[order] = np.arange(1, len(scores) + 1)
    rank_of[~np.isfinite(scores)] = 0
    return rank_of
