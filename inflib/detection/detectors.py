"""Activations or margins of labels to scores of detectors that influence is compared
with.

    m  query labels     n  training labels     c  comparisons
    f  features of a layer     d  features of a label: chosen, then rejected; d = 2 f

Every score is oriented so that higher is more suspicious. A label's features are the
activations of its chosen, then of its rejected response, so a wrong label has them the
wrong way round, and is far from the query labels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_ROWS_AT_ONCE = 2048
"""Labels whose distances to all query labels are in memory together."""


def features(
    activations: Float[np.ndarray, "c 2 f"],
    rows: Int[np.ndarray, " n"],
    signs: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n 2*f"]:
    """Features of each label: activations of its chosen, then of its rejected response.

    rows: comparison of each label; signs: +1 where response a was chosen, else -1.
    """
    a_first = activations[rows]
    chosen_first = np.where((signs > 0)[:, None, None], a_first, a_first[:, ::-1])
    return chosen_first.reshape(len(rows), -1)


@dataclass(frozen=True)
class Mahalanobis:
    """Mahalanobis distance of labels from the mean of the query labels."""

    mean: Float[np.ndarray, " d"]
    precision: Float[np.ndarray, "d d"]
    """Inverse of the query labels' covariance."""

    @staticmethod
    def fit(query: Float[np.ndarray, "m d"]) -> "Mahalanobis":
        """Mean and covariance of the query labels. The covariance is shrunk (Ledoit &
        Wolf, 2004) where its inverse is not to be trusted: for at most two labels per
        feature, or a condition number above 1e10."""
        from sklearn.covariance import empirical_covariance, ledoit_wolf

        query = query.astype(np.float64)
        covariance = empirical_covariance(query)
        enough = len(query) > 2 * query.shape[1]
        if not enough or np.linalg.cond(covariance) > 1e10:
            covariance, _ = ledoit_wolf(query)
        return Mahalanobis(query.mean(0), np.linalg.pinv(covariance, hermitian=True))

    def __call__(self, train: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """sqrt((x - mean)' precision (x - mean)) of each label's features x."""
        centred = train - self.mean
        return np.sqrt(np.einsum("nd,nd->n", centred @ self.precision, centred).clip(0))


@dataclass(frozen=True)
class Nearest:
    """Distance of labels to their k-th nearest query label, features scaled to length 1
    (Sun et al., "Deep nearest neighbors", ICML 2022, arXiv:2204.06507)."""

    query: Float[np.ndarray, "m d"]
    """Features of the query labels, scaled to length 1; float32."""

    @staticmethod
    def fit(query: Float[np.ndarray, "m d"]) -> "Nearest":
        return Nearest(_normalized(query.astype(np.float32)))

    def __call__(
        self, train: Float[np.ndarray, "n d"], neighbours: tuple[int, ...]
    ) -> Float[np.ndarray, "n _"]:
        """One column for every k of `neighbours`; a k above the number of query labels
        gives the distance to the farthest."""
        places = [min(k, len(self.query)) - 1 for k in neighbours]
        chunks = []
        for start in range(0, len(train), _ROWS_AT_ONCE):
            rows = _normalized(train[start : start + _ROWS_AT_ONCE].astype(np.float32))
            squares = 2 - 2 * rows @ self.query.T  # |x - y|^2 where |x| = |y| = 1
            chunks.append(np.partition(squares, places, axis=1)[:, places])
        return np.sqrt(np.concatenate(chunks).clip(0)).astype(np.float64)


def _normalized(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(norms > 0, norms, 1)


def margin_scores(
    margins: Float[np.ndarray, " n"],
) -> dict[str, Float[np.ndarray, " n"]]:
    """{detector: scores} of the detectors that need only the reward model's margins,
    r(chosen) - r(rejected).

    With p = sigmoid(margin), self-confidence is p, and entropy is -p log p - (1 - p)
    log(1 - p). The text of "Understanding Impact of Human Feedback via Influence
    Functions" calls unsure labels suspicious, its formula for entropy the sure ones:
    both signs are here. low_margin, loss and self_confidence_low rank labels alike, and
    so would confident learning's normalized margin: its two classes mirror each other.
    """
    confidence = 1 / (1 + np.exp(-margins))
    entropy = -(
        confidence * np.log(confidence.clip(1e-300))
        + (1 - confidence) * np.log((1 - confidence).clip(1e-300))
    )
    return {
        "low_margin": -margins,
        "loss": np.logaddexp(0, -margins),
        "self_confidence_low": -confidence,
        "self_confidence_high": confidence,
        "entropy_high": entropy,
        "entropy_low": -entropy,
    }


def swapped_auc(
    query: Float[np.ndarray, "m d"], neighbours: tuple[int, ...]
) -> dict[str, float]:
    """{detector: AUC of telling query labels from the same labels with chosen and
    rejected exchanged}.

    Fitted on one half of the query set and tried on the other, then the halves change
    places; the mean of both. It needs no training label's truth, so layer and k may be
    chosen by it.
    """
    from sklearn.metrics import roc_auc_score

    even = np.arange(len(query)) % 2 == 0
    aucs: dict[str, list[float]] = {}
    for half in (even, ~even):
        held_out = query[~half]
        sides = np.hsplit(held_out, 2)  # chosen, rejected
        tried = np.concatenate([held_out, np.concatenate(sides[::-1], axis=1)])
        swapped = np.repeat([0, 1], len(held_out))
        for name, scores in distances(query[half], tried, neighbours).items():
            aucs.setdefault(name, []).append(float(roc_auc_score(swapped, scores)))
    return {name: float(np.mean(values)) for name, values in aucs.items()}


def distances(
    query: Float[np.ndarray, "m d"],
    train: Float[np.ndarray, "n d"],
    neighbours: tuple[int, ...],
) -> dict[str, Float[np.ndarray, " n"]]:
    """{detector: distance of each training label from the query labels}: mahalanobis,
    and knn_<k> for every k of `neighbours`."""
    nearest = Nearest.fit(query)(train, neighbours)
    columns = {f"knn_{k}": nearest[:, i] for i, k in enumerate(neighbours)}
    return {"mahalanobis": Mahalanobis.fit(query)(train), **columns}
