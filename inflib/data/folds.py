"""Labels to folds by prompt, each of which is judged by a model that saw none of it.

The labels on a prompt are in one fold, whichever set they are of: no model judges a
prompt that it was trained on. A fold is decided by a hash of the prompt, so that it
stays when labels are added. Prompts that differ in one character are two.
"""

from dataclasses import dataclass

from inflib.data.label_edits import DROP, Edit, Edits
from inflib.data.training_plan import Labelled
from inflib.numerics.hash_sampling import uniform_hash
from inflib.shapes.pairs import prompt_of

_SALT = "fold "
"""Makes the hash another one than those of train.holdout and prepare.part."""


@dataclass(frozen=True)
class Fold:
    """The labels on a share of the prompts: `x in fold`, x being a comparison_id."""

    number: int
    """From 0 to of - 1."""

    of: int
    """Folds that there are."""

    def __contains__(self, comparison_id: str) -> bool:
        """Whether the labels on a comparison are in this fold."""
        place = uniform_hash(0, _SALT + prompt_of(comparison_id))
        return int(place * self.of) == self.number


def folds_of(labels: Labelled, count: int) -> dict[Fold, Edits]:
    """{fold: edits that drop its labels}, of the folds that have any.

    labels: those of the training set with a weight; count: folds that prompts are dealt
    to. Raises ValueError for fewer than two folds, and where one has all labels, so
    that nothing is left to train its model on.
    """
    if count < 2:
        raise ValueError(f"--folds {count}: 2 at least, or nothing is left to train on")
    found: dict[Fold, Edits] = {}
    for fold in (Fold(number, count) for number in range(count)):
        edits = {
            pair: Edit.of(DROP) for pair, comparison in labels if comparison in fold
        }
        if edits:
            found[fold] = edits
    if len(found) < 2:
        raise ValueError(
            f"--folds {count}: the labels are on too few prompts, all are in one fold"
        )
    return found
