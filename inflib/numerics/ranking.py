"""Figures of a ranking, and how sure they are.

    n  labels     r  resamples     t  distinct thresholds

auc    area under the ROC curve: how often a positive outranks a negative, ties 1/2
ap     average precision
tnr80  share of the negatives below the threshold that finds 80% of the positives
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

METRICS = ("auc", "ap", "tnr80")
_FOUND = 0.8
_AT_ONCE = 2_000_000


def detection(scores: np.ndarray, positive: np.ndarray) -> dict[str, float] | None:
    """Figures of finding the positives by high scores.

    Labels without a score (NaN) are left out; None when one class is empty.
    """
    known = np.isfinite(scores)
    scores, positive = scores[known].astype(float), positive[known]
    if positive.all() or not positive.any():
        return None
    found = _figures(Ranking.of(scores), positive, np.ones((1, len(scores))))
    return {name: float(values[0]) for name, values in found.items()}


@dataclass(frozen=True)
class Ranking:
    """Labels from the highest score down, tied ones together."""

    order: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " t"]
    """Place in `order` of each threshold's first label."""

    @staticmethod
    def of(scores: Float[np.ndarray, " n"]) -> "Ranking":
        order = np.argsort(-scores, kind="stable")
        return Ranking(order, np.flatnonzero(np.diff(-scores[order], prepend=-np.inf)))

    def counts(self, weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, "r t"]:
        """Weight at or above each threshold."""
        sums = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return np.cumsum(sums, axis=1)


def curve(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """(positives found, negatives accused) at each threshold, from the highest on."""
    ranking = Ranking.of(scores)
    true = ranking.counts(positive[None].astype(float))[0]
    false = ranking.counts(~positive[None].astype(bool) * 1.0)[0]
    return true, false


def bootstrap(
    scores: dict[str, np.ndarray],
    positive: Bool[np.ndarray, " n"],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Float[np.ndarray, " r"]]]:
    """{detector: {figure: its value in every resample of the labels}}.

    All detectors see the same resamples, so differences between them are paired.
    Scores must be finite. A resample without positives or negatives is NaN.
    """
    rankings = {name: Ranking.of(values) for name, values in scores.items()}
    parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scores}
    for weights in _resamples(len(positive), resamples, seed):
        for name, ranking in rankings.items():
            parts[name].append(_figures(ranking, positive, weights))
    return {
        name: {f: np.concatenate([part[f] for part in found]) for f in METRICS}
        for name, found in parts.items()
    }


def percentile_interval(values: Float[np.ndarray, " r"]) -> tuple[float, float]:
    """95%, by percentiles."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def p_value(differences: Float[np.ndarray, " r"]) -> float:
    """Two-sided, of a difference being zero, by its bootstrap distribution; at least
    one over the number of resamples."""
    known = differences[np.isfinite(differences)]
    side = min((known <= 0).mean(), (known >= 0).mean())
    return float(min(1.0, max(2 * side, 1 / len(known))))


def _resamples(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // n)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=count).astype(float)


def _figures(
    ranking: Ranking, positive: Bool[np.ndarray, " n"], weights: np.ndarray
) -> dict[str, Float[np.ndarray, " r"]]:
    """weights [r n]: how often each label counts."""
    true = ranking.counts(weights * positive)
    false = ranking.counts(weights * ~positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        hit, alarm = true / true[:, -1:], false / false[:, -1:]
        before = np.zeros((len(weights), 1))
        steps = np.diff(hit, axis=1, prepend=before)
        middle = alarm - np.diff(alarm, axis=1, prepend=before) / 2
        precision = true / np.maximum(true + false, 1e-300)
        first = (hit >= _FOUND - 1e-9).argmax(1)
        clear = 1 - np.take_along_axis(alarm, first[:, None], axis=1)[:, 0]
    empty = (true[:, -1] == 0) | (false[:, -1] == 0)
    found = {
        "auc": 1 - (steps * middle).sum(1),
        "ap": (steps * precision).sum(1),
        "tnr80": clear,
    }
    return {name: np.where(empty, np.nan, values) for name, values in found.items()}


def ranks(scores: np.ndarray) -> np.ndarray:
    """1 for the highest score; ties in input order; 0 where there is none (NaN)."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    found = np.empty(len(scores), dtype=np.int64)
    found[order] = np.arange(1, len(scores) + 1)
    found[~np.isfinite(scores)] = 0
    return found
