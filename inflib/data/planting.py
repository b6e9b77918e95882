"""Known biases planted into labels, and query sets chosen for a purpose."""

from inflib.config.data import PlantConfig
from inflib.data.hash_sampling import unit_hash


def plant(
    config: PlantConfig,
    pair_id: str,
    sign: int,
    lengths: tuple[int, int],
    ratings: tuple[float, float] | None,
) -> tuple[int, bool, bool]:
    """(sign, planted, flipped): the label after the bias was put into it.

    lengths, ratings: of responses a and b. A label is picked with probability `share`;
    if picked, the response with more tokens (or the higher rating, when they differ by
    less than `max_difference`) becomes the chosen one. Equal ones stay as they are.
    """
    planted = unit_hash(config.seed, pair_id) < config.share
    a, b = lengths if config.kind == "longer_chosen" else ratings or (0, 0)
    too_far = config.max_difference is not None and abs(a - b) >= config.max_difference
    if not planted or a == b or too_far:
        return sign, planted, False
    favoured = 1 if a > b else -1
    return favoured, True, favoured != sign


def selected(
    select: str, length_difference: int, rating_difference: float | None
) -> bool:
    """Whether a query set takes a label; differences are chosen - rejected."""
    if select == "all":
        return True
    by_rating = select.endswith("_rated")
    difference = rating_difference or 0.0 if by_rating else length_difference
    if select in ("chosen_shorter", "chosen_lower_rated"):
        return difference < 0
    return difference > 0
