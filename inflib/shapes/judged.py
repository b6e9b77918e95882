"""Answers to one prompt, and what was judged about them."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from inflib.config.shapes import ShapeConfig

TIE = 0.5
"""Target of a tie."""


@dataclass(frozen=True)
class Vote:
    """One verdict on two of the answers."""

    better: int
    """Index of the better answer; of the first one, where target is a tie's."""

    worse: int

    target: float = 1.0
    """Probability that the better one is better."""

    strength: float | None = None
    """How much better it is, 0 or more, on the scale of the data; None: not said."""

    labeler: str | None = None
    name: str = ""
    """What tells this vote from the others of its row, for the label's id."""

    def __post_init__(self) -> None:
        if not 0 <= self.target <= 1:
            raise ValueError(f"a verdict of {self.target:g}, no probability (0 to 1)")
        if self.strength is not None and not math.isfinite(self.strength):
            raise ValueError("scores so far apart that their difference is no number")


@dataclass(frozen=True)
class Judged:
    """What one row says: answers to a prompt and votes on them."""

    prompt: Any
    """The cell with the prompt; None where the answers repeat it."""

    answers: list[Any]
    """Cells with text or messages."""

    votes: list[Vote]


def votes_by_score(
    scores: list[float | None], config: ShapeConfig, higher_is_better: bool
) -> list[Vote]:
    """Votes on answers that have scores, or ranks: the strength is the difference.

    Answers without a score (None) have no vote. Equal scores are ties.
    """
    sign = -1 if higher_is_better else 1
    known = [(score, i) for i, score in enumerate(scores) if score is not None]
    ordered = sorted(known, key=lambda pair: (sign * pair[0], pair[1]))
    places = list(combinations(range(len(ordered)), 2))
    if config.pairs_of == "adjacent":
        places = [(i, j) for i, j in places if j == i + 1]
    elif config.pairs_of == "best":
        places = [(i, j) for i, j in places if i == 0]
    votes = []
    for i, j in places:
        (better_score, better), (worse_score, worse) = ordered[i], ordered[j]
        difference = abs(better_score - worse_score)
        votes.append(
            Vote(
                better,
                worse,
                1.0 if difference else TIE,
                difference,
                name=f"{better + 1}>{worse + 1}",
            )
        )
    return votes
