"""Labels of a run to the retrainings of the lds benchmark: which labels each keeps.

n  training labels that the run's model was trained on     m  choices of labels
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from inflib.data.label_edits import DROP, FLIP, Edit, Edits

HALF, RANDOM, LABELER = "half", "random group", "labeler"
HARMFUL, AS_MANY = "harmful", "as many random"
FLIPPED, AS_MANY_FLIPPED = "harmful flipped", "as many random flipped"
SHARES = (0.01, 0.05, 0.1, 0.2)
"""Of the labels, that are left out or flipped from the most harmful on."""


@dataclass(frozen=True)
class Choice:
    """The labels that some retrainings keep, and those of them that they turn round."""

    kind: str
    name: str
    kept: Float[np.ndarray, " n"]
    """1 for a label that is kept, 0 for one that is left out."""

    flipped: Float[np.ndarray, " n"]
    """1 for a label that is turned round, else 0."""

    def edits(self, pair_ids: np.ndarray) -> Edits:
        """As edits of the run's labels; pair_ids: of the n."""
        dropped, flipped = pair_ids[self.kept == 0], pair_ids[self.flipped == 1]
        drops = dict.fromkeys(dropped.tolist(), Edit.of(DROP))
        return drops | dict.fromkeys(flipped.tolist(), Edit.of(FLIP))


def choices(
    harm: Float[np.ndarray, " n"],
    labelers: np.ndarray | None,
    halves: int,
    groups: int,
    curves: bool,
) -> list[Choice]:
    """Random halves; random groups and the largest labelers, left out one at a time;
    the most harmful labels, and as many random ones, left out and flipped.

    harm: influence of each label, positive where it is harmful; labelers: who gave each
    label; groups: number of random groups, and of labelers at most.
    """
    count, made = len(harm), list[Choice]()

    def leave_out(kind: str, name: str, rows: np.ndarray) -> None:
        kept = np.ones(count)
        kept[rows] = 0
        made.append(Choice(kind, name, kept, np.zeros(count)))

    def flip(kind: str, name: str, rows: np.ndarray) -> None:
        flipped = np.zeros(count)
        flipped[rows] = 1
        made.append(Choice(kind, name, np.ones(count), flipped))

    for number in range(halves):
        rows = np.random.default_rng([number, 1]).permutation(count)[: count // 2]
        leave_out(HALF, str(number), rows)
    cut = np.random.default_rng(2).permutation(count)
    for number, rows in enumerate(np.array_split(cut, max(10, groups))[:groups]):
        leave_out(RANDOM, str(number), rows)
    if labelers is not None and groups:
        names, sizes = np.unique(labelers.astype(str), return_counts=True)
        for name in names[np.argsort(-sizes, kind="stable")][:groups]:
            leave_out(LABELER, str(name), np.flatnonzero(labelers.astype(str) == name))
    order = np.argsort(-harm, kind="stable")
    for share in SHARES if curves else ():
        size = max(1, round(share * count))
        drawn = np.random.default_rng(3).permutation(count)[:size]
        leave_out(HARMFUL, f"{share:g}", order[:size])
        leave_out(AS_MANY, f"{share:g}", drawn)
        flip(FLIPPED, f"{share:g}", order[:size])
        flip(AS_MANY_FLIPPED, f"{share:g}", drawn)
    return made
