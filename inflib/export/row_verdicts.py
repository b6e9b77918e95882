"""A label with its decision to what its rows say: none where it is left out, two where
it is a tie that is written each way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from inflib.data.decisions import Decision
from inflib.data.label_edits import DROP, FLIP, KEEP, TIE

Ties = Literal["drop", "both"]

NOT_DECIDED = Decision("", action=KEEP)


def is_left_out(decision: Decision, target: float, weight: float, ties: Ties) -> str:
    """Why a label gives no row: "drop", "tie" or "weight 0"; empty where it does."""
    if decision.action == DROP:
        return DROP
    if weight * (1.0 if decision.value is None else decision.value) == 0:
        return "weight 0"
    is_tie = decision.action == TIE or target == 0.5
    return TIE if is_tie and ties == "drop" else ""


@dataclass(frozen=True)
class Verdict:
    """What a row says: which response is chosen, and how surely."""

    sign: int
    target: float
    margin: float
    weight: float


def verdicts_of(
    label: dict[str, Any], decision: Decision, ties: Ties
) -> Iterator[Verdict]:
    sign, target, margin, weight = (
        label[name] for name in ("sign", "target", "required_margin", "weight")
    )
    if is_left_out(decision, target, weight, ties):
        return
    if decision.value is not None:
        weight *= decision.value
    if decision.action == FLIP:
        sign = -sign
    elif decision.action == TIE:
        target, margin = 0.5, 0.0
    if target == 0.5:
        yield Verdict(sign, 1.0, margin, weight / 2)
        yield Verdict(-sign, 1.0, -margin, weight / 2)
    elif target < 0.5:
        yield Verdict(-sign, 1 - target, -margin, weight)
    else:
        yield Verdict(sign, target, margin, weight)
