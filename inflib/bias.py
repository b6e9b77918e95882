"""Known biases planted into labels, and query sets chosen for a purpose."""

import hashlib

from inflib.config_data import PlantConfig


def unit_hash(seed: int, text: str) -> float:
    """Uniform number in [0, 1) fixed by seed and text, the same everywhere."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def plant(
    config: PlantConfig, pair_id: str, sign: int, length_a: int, length_b: int
) -> tuple[int, bool, bool]:
    """(sign, planted, flipped): the label after the bias was put into it.

    A label is picked with probability `share`; if picked, the response with more
    tokens becomes the chosen one. Equal lengths stay as they are.
    """
    planted = unit_hash(config.seed, pair_id) < config.share
    if not planted or length_a == length_b:
        return sign, planted, False
    longer = 1 if length_a > length_b else -1
    return longer, True, longer != sign


def selected(select: str, length_difference: int) -> bool:
    """Whether a query set takes a label; length_difference is chosen - rejected."""
    if select == "chosen_shorter":
        return length_difference < 0
    if select == "chosen_longer":
        return length_difference > 0
    return True
