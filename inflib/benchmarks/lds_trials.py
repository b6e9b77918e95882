"""Labels of a run to the retrainings of the lds benchmark: which labels each keeps.

n  training labels that the run's model was trained on     m  choices of labels
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from inflib.data.label_edits import DROP, Edit, Edits

HALF, RANDOM, LABELER = "half", "random group", "labeler"
HARMFUL, AS_MANY = "harmful", "as many random"
SHARES = (0.01, 0.05, 0.1, 0.2)
"""Of the labels, that are left out from the most harmful on."""


@dataclass(frozen=True)
class Choice:
    """The labels that some retrainings keep."""

    kind: str
    name: str
    kept: Float[np.ndarray, " n"]
    """1 for a label that is kept, 0 for one that is left out."""

    def edits(self, pair_ids: np.ndarray) -> Edits:
        """As edits of the run's labels; pair_ids: of the n."""
        drop = Edit.of(DROP)
        return {str(name): drop for name in pair_ids[self.kept == 0]}


def choices(
    harm: Float[np.ndarray, " n"],
    labelers: np.ndarray | None,
    halves: int,
    groups: int,
    curves: bool,
) -> list[Choice]:
    """Random halves; random groups and the largest labelers, left out one at a time;
    the most harmful labels, and as many random ones.

    harm: influence of each label, positive where it is harmful; labelers: who gave each
    label; groups: number of random groups, and of labelers at most.
    """
    count, made = len(harm), list[Choice]()

    def leave_out(kind: str, name: str, rows: np.ndarray) -> None:
        kept = np.ones(count)
        kept[rows] = 0
        made.append(Choice(kind, name, kept))

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
        leave_out(HARMFUL, f"{share:g}", order[:size])
        drawn = np.random.default_rng(3).permutation(count)[:size]
        leave_out(AS_MANY, f"{share:g}", drawn)
    return made
