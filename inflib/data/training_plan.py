"""Training labels to those that are held out of training, and for how many steps to
train on the others.

Whole prompts are held out, in the order of a hash of theirs, so that the labels of a
prompt stay together, and that one number says which they are, of later labels as well.
"""

from collections import Counter
from dataclasses import dataclass

from inflib.data.pairs_folder import PairsFolder
from inflib.numerics.hash_sampling import uniform_hash
from inflib.shapes.pairs import prompt_of

FEWEST = 20
"""Held-out comparisons below which nothing is held out: their loss would be noise."""

_SALT = "held out "
"""Makes the hash another one than that of prepare.part."""


Labelled = list[tuple[str, str]]
"""(pair_id, comparison_id) of labels."""


@dataclass(frozen=True)
class Holdout:
    """Which labels of a training set are held out."""

    below: float = 0.0
    """Prompts whose `place` is below are held out; 0: none are."""

    pair_ids: tuple[str, ...] = ()
    """Their labels, in plan order."""

    num_prompts: int = 0

    why_not: str = ""
    """Why nothing is held out, where something should be."""

    def __contains__(self, comparison_id: str) -> bool:
        """Whether the labels on a comparison are held out."""
        return place(comparison_id) < self.below

    @staticmethod
    def choose(labels: Labelled, share: float) -> "Holdout":
        """The first prompts that have at least this share of the labels.

        None where they have fewer than FEWEST comparisons, or more than twice the share
        of the labels, as where a prompt has very many.
        """
        if not share:
            return Holdout()
        counts = Counter(place(comparison) for _, comparison in labels)
        places, found = sorted(counts), 0
        while found < share * len(labels):
            found += counts[places.pop(0)]
        holdout = Holdout.at(labels, places[0] if places else 1.0)
        num = len({c for _, c in labels if c in holdout})
        why = ""
        if num < FEWEST:
            why = f"train.holdout ({share:g}) are {num} comparisons, {FEWEST} the least"
        elif found > 2 * share * len(labels):
            why = f"the fewest prompts for train.holdout ({share:g}) have {found} of "
            why += f"{len(labels)} labels"
        return Holdout(why_not=why) if why else holdout

    @staticmethod
    def at(labels: Labelled, below: float) -> "Holdout":
        """The labels on prompts with a place below."""
        held = [(p, c) for p, c in labels if place(c) < below]
        prompts = {prompt_of(comparison) for _, comparison in held}
        return Holdout(below, tuple(pair_id for pair_id, _ in held), len(prompts))


@dataclass(frozen=True)
class Steps:
    """How many optimizer steps to train, whatever the labels, and without which: what
    makes a retraining comparable with the training that it repeats."""

    planned: int
    """Steps that the learning-rate schedule is planned for."""

    kept: int
    """Steps after which training ends."""

    below: float = 0.0
    """Prompts that are left out: `Holdout.below`."""


def place(comparison_id: str) -> float:
    """Number in [0, 1) of a comparison's prompt, by which prompts are held out."""
    return uniform_hash(0, _SALT + prompt_of(comparison_id))


def weighted_labels(folder: PairsFolder) -> Labelled:
    """The labels of a pair set with a weight, in plan order."""
    names = ["pair_id", "comparison_id", "weight"]
    tables = [folder.labels(shard, names) for shard in folder.plan()]
    columns = ([x for t in tables for x in t[name].to_pylist()] for name in names)
    return [
        (pair, comparison) for pair, comparison, w in zip(*columns, strict=True) if w
    ]
