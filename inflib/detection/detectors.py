"""Detectors that influence is compared with: how unlike the trusted labels a label is.

    m  query labels     n  training labels     f  features (chosen and rejected: 2f)

Every score is oriented so that higher is more suspicious. A label's features are its
layer activations, chosen then rejected, so a wrong label has them the wrong way round.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_ROWS_AT_ONCE = 2048


def features(
    activations: Float[np.ndarray, "c 2 f"],
    rows: Int[np.ndarray, " n"],
    signs: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n 2*f"]:
    """Chosen and rejected side by side; sign +1: response a was chosen."""
    own = activations[rows]
    turned = np.where((signs > 0)[:, None, None], own, own[:, ::-1])
    return turned.reshape(len(rows), -1)


@dataclass(frozen=True)
class Mahalanobis:
    """Distance from the mean of the query labels, in units of their covariance."""

    mean: Float[np.ndarray, " d"]
    precision: Float[np.ndarray, "d d"]

    @staticmethod
    def fit(query: Float[np.ndarray, "m d"]) -> "Mahalanobis":
        """Covariance as it is where it can be inverted, shrunk by Ledoit and Wolf's
        rule (2004) where it cannot: too few labels, or features that depend."""
        from sklearn.covariance import empirical_covariance, ledoit_wolf

        query = query.astype(np.float64)
        covariance = empirical_covariance(query)
        full = len(query) > 2 * query.shape[1]
        if not full or np.linalg.cond(covariance) > 1e10:
            covariance, _ = ledoit_wolf(query)
        return Mahalanobis(query.mean(0), np.linalg.pinv(covariance, hermitian=True))

    def __call__(self, found: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        away = found - self.mean
        return np.sqrt(np.einsum("nd,nd->n", away @ self.precision, away).clip(0))


@dataclass(frozen=True)
class Nearest:
    """Distance to the k-th nearest query label, features scaled to length 1 (Sun et
    al., "Deep nearest neighbors", ICML 2022, arXiv:2204.06507)."""

    query: Float[np.ndarray, "m d"]

    @staticmethod
    def fit(query: Float[np.ndarray, "m d"]) -> "Nearest":
        return Nearest(_unit(query.astype(np.float32)))

    def __call__(
        self, found: Float[np.ndarray, "n d"], neighbours: tuple[int, ...]
    ) -> Float[np.ndarray, "n _"]:
        """One column for every k; k beyond the query labels means the farthest."""
        places = [min(k, len(self.query)) - 1 for k in neighbours]
        parts = []
        for start in range(0, len(found), _ROWS_AT_ONCE):
            own = _unit(found[start : start + _ROWS_AT_ONCE].astype(np.float32))
            squares = 2 - 2 * own @ self.query.T  # both of length 1
            parts.append(np.partition(squares, places, axis=1)[:, places])
        return np.sqrt(np.concatenate(parts).clip(0)).astype(np.float64)


def _unit(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(norms > 0, norms, 1)


def of_margins(margins: Float[np.ndarray, " n"]) -> dict[str, Float[np.ndarray, " n"]]:
    """Detectors that need the reward model's margins (chosen - rejected) alone.

    With p = sigmoid(margin): self-confidence is p, entropy that of (p, 1 - p). The
    paper's text calls the unsure labels suspicious, its formula for entropy the sure
    ones: both signs are here. Loss, margin and self-confidence rank alike, and so does
    confident learning's normalized margin, as neither response is a class of its own.
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
    """How well each detector tells query labels from the same labels turned round.

    Fitted on one half of the query set, tried on the other, and the other way round:
    needs no knowledge of which training labels are wrong, so layer and k can be chosen
    by it honestly.
    """
    from sklearn.metrics import roc_auc_score

    halves = np.arange(len(query)) % 2 == 0
    found: dict[str, list[float]] = {}
    for own in (halves, ~halves):
        other = query[~own]
        right = np.hsplit(other, 2)
        both = np.concatenate([other, np.concatenate(right[::-1], axis=1)])
        wrong = np.repeat([0, 1], len(other))
        for name, scores in distances(query[own], both, neighbours).items():
            found.setdefault(name, []).append(float(roc_auc_score(wrong, scores)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def distances(
    query: Float[np.ndarray, "m d"],
    found: Float[np.ndarray, "n d"],
    neighbours: tuple[int, ...],
) -> dict[str, Float[np.ndarray, " n"]]:
    """mahalanobis, and knn_<k> for every k."""
    nearest = Nearest.fit(query)(found, neighbours)
    columns = {f"knn_{k}": nearest[:, i] for i, k in enumerate(neighbours)}
    return {"mahalanobis": Mahalanobis.fit(query)(found), **columns}
