"""Edits of labels (flip, drop, tie, weight) and labels as they are with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KEEP, FLIP, DROP, TIE, WEIGHT = "keep", "flip", "drop", "tie", "weight"


@dataclass(frozen=True)
class Edit:
    """What is done to a label."""

    action: str
    """flip, drop, tie, weight or keep."""

    weight: float
    """Factor of the label's weight: 0 for one that is dropped, 1 for others unless
    it is the action."""

    @staticmethod
    def of(action: str) -> "Edit":
        """The edit of an action that needs no factor."""
        return Edit(action, 0.0 if action == DROP else 1.0)


Edits = dict[str, Edit]
"""{pair_id: edit of the label}; labels that are not named stay as they are."""


@dataclass(frozen=True)
class LabelValues:
    """What the loss takes from labels, see numerics.preference_loss; float64 [n]."""

    sign: np.ndarray
    """+1: response a of the comparison was chosen; -1: b."""

    target: np.ndarray
    """Probability that the chosen response is the better one."""

    weight: np.ndarray
    required: np.ndarray
    """Margin that the loss requires."""

    def edited(self, edits: Edits, pair_ids: Sequence[str]) -> "LabelValues":
        """The labels with these pair_ids as they are with edits.

        A flip turns the sign. A tie sets the target to 0.5 and requires no margin. The
        weight is multiplied by the edit's factor.
        """
        values = [np.array(x, float) for x in vars(self).values()]
        sign, target, weight, required = values
        for i, pair_id in enumerate(pair_ids if edits else ()):
            edit = edits.get(pair_id)
            if edit is None:
                continue
            weight[i] *= edit.weight
            if edit.action == FLIP:
                sign[i] *= -1
            elif edit.action == TIE:
                target[i], required[i] = 0.5, 0.0
        return LabelValues(sign, target, weight, required)
