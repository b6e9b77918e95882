"""Predictions and outcomes of retraining on parts of the labels to how well they agree.

    m  retrainings, each on another part of the labels     q  query labels

Linear datamodeling score: Spearman's rank correlation, over random halves of the
training labels, of what is predicted for a query label with what the model that was
trained on the half does with it; the mean over query labels (Park et al., "TRAK", ICML
2023, arXiv:2303.14186, section 5.1).
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata


def rank_correlations(
    predicted: Float[np.ndarray, "m q"], actual: Float[np.ndarray, "m q"]
) -> Float[np.ndarray, " q"]:
    """Spearman's correlation of each column; 0 where a column is constant."""
    ranks = [rankdata(values, axis=0) for values in (predicted, actual)]
    ranks = [values - values.mean(0) for values in ranks]
    scale = np.sqrt((ranks[0] ** 2).sum(0) * (ranks[1] ** 2).sum(0))
    products = (ranks[0] * ranks[1]).sum(0)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def datamodeling_scores(
    predicted: dict[str, Float[np.ndarray, "m q"]],
    actual: Float[np.ndarray, "m q"],
    clusters: Int[np.ndarray, " q"],
    against: str,
    draws: int = 400,
) -> dict[str, dict[str, float]]:
    """{estimator: mean, 95% interval (low, high), difference from `against` with its
    interval (difference, difference_low, difference_high)}.

    clusters: query labels that belong together, such as those of a prompt. Intervals
    are of the percentile bootstrap over retrainings and clusters at once, the same
    draws for all estimators, moved so that their center is the estimate: a retraining
    that is drawn twice is a tie, which draws correlations towards 0. Raises ValueError
    for fewer than 3 retrainings.
    """
    if len(actual) < 3:
        raise ValueError(
            f"{len(actual)} retrainings: 3 at least have rank correlations"
        )
    rng = np.random.default_rng(0)
    m, names = len(actual), np.unique(clusters)
    members = [np.flatnonzero(clusters == name) for name in names]
    drawn: dict[str, list[float]] = {name: [] for name in predicted}
    for _ in range(draws):
        rows = rng.integers(m, size=m)
        while len(np.unique(rows)) < 3:  # two have no rank correlation to speak of
            rows = rng.integers(m, size=m)
        columns = np.concatenate(
            [members[c] for c in rng.integers(len(names), size=len(names))]
        )
        outcome = actual[np.ix_(rows, columns)]
        for name, values in predicted.items():
            found = rank_correlations(values[np.ix_(rows, columns)], outcome)
            drawn[name].append(float(found.mean()))
    means = {
        n: float(rank_correlations(p, actual).mean()) for n, p in predicted.items()
    }
    first = np.array(drawn[against])
    scores = {}
    for name in predicted:
        values = np.array(drawn[name])
        low, high = np.clip(_interval(values, means[name]), -1, 1).tolist()
        difference = means[name] - means[against]
        from_low, from_high = _interval(values - first, difference)
        scores[name] = {
            "mean": means[name],
            "low": low,
            "high": high,
            "difference": difference,
            "difference_low": from_low,
            "difference_high": from_high,
        }
    return scores


def _interval(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    low, high = np.quantile(draws - draws.mean() + estimate, [0.025, 0.975])
    return float(low), float(high)


def slope(
    predicted: Float[np.ndarray, " m"], actual: Float[np.ndarray, " m"]
) -> dict[str, float]:
    """Least squares of outcomes on predictions, both about their means: slope and its
    standard error, and Spearman's correlation. A slope of 1: what is predicted comes.
    """
    x, y = predicted - predicted.mean(), actual - actual.mean()
    square = float((x**2).sum())
    if len(x) < 3 or square == 0:
        return {"slope": 0.0, "error": float("inf"), "spearman": 0.0}
    found = float((x * y).sum()) / square
    rest = float(((y - found * x) ** 2).sum()) / (len(x) - 2)
    correlation = rank_correlations(predicted[:, None], actual[:, None])
    error = float(np.sqrt(rest / square))
    return {"slope": found, "error": error, "spearman": float(correlation[0])}
