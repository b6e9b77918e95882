"""May an audit be acted on? A verdict on each query set, before its scores.

not usable  the reward model is at chance on the query set, or on its own training
            labels: it has nothing to say about which labels are wrong
doubtful    a fact below is amiss; read the scores with it in mind
trusted     none is
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr, t

TRUSTED, DOUBTFUL, NOT_USABLE = "trusted", "doubtful", "not usable"

TOO_SURE = 0.5
"""Best scale below which influence says first of all what shrinks margins."""

_WIDE = 0.1
"""Half width of the accuracy's interval above which a query set is small: a model that
is right on 60% could be at chance."""

_NORM_SHARE = 0.5
"""Share of the scores' ranking that gradient norms explain, above which most of it says
how unsure the model is of a label, and not whom it helps."""

_LEAKED = 0.01
"""Share of a query set's comparisons that are training ones, too, above which it says
in part what the model has learned by heart."""


@dataclass(frozen=True)
class Accuracy:
    """A share of labels on which the reward model is right, with its 95% interval."""

    share: float
    low: float
    high: float
    labels: int
    """Labels that it was counted on; ties are left out."""

    @property
    def is_chance(self) -> bool:
        """Whether the interval holds 0.5, or lies below it."""
        return self.low <= 0.5

    def __str__(self) -> str:
        return f"{self.share:.2f}, {self.low:.2f} to {self.high:.2f}"


def accuracy(right: np.ndarray, prompts: np.ndarray) -> Accuracy:
    """Accuracy of labels that are right (1), undecided (0.5) or wrong (0).

    prompts: of each label, since labels of one prompt are not independent. Wilson's
    interval (JASA 22, 1927) with the effective number of labels, p (1 - p) over the
    variance between prompts (Korn & Graubard, Surv. Methodol. 24, 1998), which is not
    more than the number of labels, and Student's t for the number of prompts.
    """
    n = len(right)
    _, index = np.unique(prompts, return_inverse=True)
    clusters = int(index.max()) + 1 if n else 0
    if clusters < 2:
        return Accuracy(float(right.mean()) if n else 0.5, 0.0, 1.0, n)
    share = float(right.mean())
    residuals = np.bincount(index, right - share)
    variance = (residuals**2).sum() / n**2 * clusters / (clusters - 1)
    spread = share * (1 - share)
    effective = min(n, spread / variance) if variance > 0 else clusters
    z = float(t.ppf(0.975, clusters - 1))
    denominator = 1 + z**2 / effective
    middle = (share + z**2 / (2 * effective)) / denominator
    root = (spread / effective + z**2 / (4 * effective**2)) ** 0.5
    half = z * root / denominator
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Accuracy(share, float(low), float(high), n)


def norm_share(influence: np.ndarray, norms: np.ndarray) -> float:
    """Share of the ranking by influence that gradient norms alone explain: their
    squared rank correlation. 0 where either is constant."""
    if len(influence) < 3 or np.ptp(influence) == 0 or np.ptp(norms) == 0:
        return 0.0
    return float(spearmanr(influence, norms).statistic ** 2)


def verdict(
    query: Accuracy,
    train: Accuracy,
    best_scale: float,
    is_reliable: bool,
    norms: float,
    leaked: float,
) -> dict[str, Any]:
    """{status, reasons} of a query set, as in summary.json.

    best_scale: of report.summary; is_reliable: whether a damping was (of the reported
    curvature, True without a choice of dampings); norms: `norm_share`; leaked: share of
    the query set's comparisons that are training ones.
    """
    failures, doubts = [], []
    if train.is_chance:
        failures.append(
            f"the reward model is at chance on its training labels ({train}): it has "
            "learned nothing; raise train.epochs or train.learning_rate"
        )
    if query.is_chance:
        failures.append(f"the reward model is at chance there ({query})")
    elif (query.high - query.low) / 2 > _WIDE:
        doubts.append(
            f"accuracy is only known to be {query.low:.2f} to {query.high:.2f}; "
            f"{3 * query.labels} more query labels would halve the interval"
        )
    if not is_reliable:
        doubts.append(
            "halves of the query set rank the labels differently (score.reliability)"
        )
    if best_scale < TOO_SURE:
        doubts.append(
            "the reward model is too sure of itself: its loss would be least with "
            f"margins {best_scale:.2f} times as large; train less (epochs, learning "
            "rate)"
        )
    if norms > _NORM_SHARE:
        doubts.append(f"gradient norms alone explain {norms:.0%} of the ranking")
    if leaked > _LEAKED:
        doubts.append(f"{leaked:.0%} of its comparisons are training ones, too")
    status = NOT_USABLE if failures else DOUBTFUL if doubts else TRUSTED
    return {"status": status, "reasons": failures + doubts}


def in_words(verdicts: dict[str, dict[str, Any]]) -> str:
    """One line on all query sets: what the audit can be acted on for."""
    parts = []
    if good := [name for name, v in verdicts.items() if v["status"] == TRUSTED]:
        names = " and ".join(f'"{name}"' for name in good)
        parts.append(f"This audit can be acted on for {names}")
    alone = {
        DOUBTFUL: "This audit can be acted on with doubts for",
        NOT_USABLE: "This audit cannot be acted on for",
    }
    for status, lead in ((DOUBTFUL, "with doubts for"), (NOT_USABLE, "not for")):
        for name, found in verdicts.items():
            if found["status"] == status:
                start = lead if parts else alone[status]
                parts.append(f'{start} "{name}": {"; ".join(found["reasons"])}')
    return "; ".join(parts) + "."
