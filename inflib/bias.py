"""Known biases planted into labels, and query sets chosen for a purpose."""

import hashlib
from dataclasses import dataclass
from typing import Any

from inflib.config_data import PlantConfig


def unit_hash(seed: int, text: str) -> float:
    """Uniform number in [0, 1) fixed by seed and text, the same everywhere."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


LABELERS = 20
BIASED = {
    "labeler-00": ("longer", 0.8),
    "labeler-01": ("longer", 0.4),
    "labeler-02": ("careless", 0.8),
    "labeler-03": ("contrary", 0.4),
    "labeler-04": ("first", 0.8),
}
"""What the biased ones of twenty planted labelers do, and on what share of their
labels: choose the longer response, a random one, the worse one, the one shown first."""


@dataclass(frozen=True)
class Planted:
    """A label after a bias was put into it."""

    sign: int
    columns: dict[str, Any]
    """Kept with the label: planted, planted_flip and, with labelers, who labelled and
    whether the chosen response was shown first."""


def plant(
    config: PlantConfig, pair_id: str, sign: int, length_a: int, length_b: int
) -> Planted:
    """The label after the bias was put into it. Equal lengths stay as they are."""
    columns: dict[str, Any] = {}
    kind, share = "longer", config.share
    shown_a = unit_hash(config.seed, f"shown {pair_id}") < 0.5
    if config.kind == "labelers":
        number = int(LABELERS * unit_hash(config.seed, f"labeler {pair_id}"))
        columns["labeler"] = f"labeler-{number:02}"
        kind, share = BIASED.get(columns["labeler"], ("longer", 0.0))
    planted = unit_hash(config.seed, pair_id) < share
    wanted = sign
    if planted and kind == "longer" and length_a != length_b:
        wanted = 1 if length_a > length_b else -1
    elif planted and kind == "careless":
        wanted = 1 if unit_hash(config.seed, f"coin {pair_id}") < 0.5 else -1
    elif planted and kind == "contrary":
        wanted = -sign
    elif planted and kind == "first":
        wanted = 1 if shown_a else -1
    if config.kind == "labelers":
        columns["chosen_first"] = shown_a == (wanted > 0)
    columns |= {"planted": planted, "planted_flip": wanted != sign}
    return Planted(wanted, columns)


def selected(select: str, length_difference: int) -> bool:
    """Whether a query set takes a label; length_difference is chosen - rejected."""
    if select == "chosen_shorter":
        return length_difference < 0
    if select == "chosen_longer":
        return length_difference > 0
    return True
