"""Labels to labels with a known bias planted into them; labels to a query set that
prefers, say, the shorter response."""

from inflib.config.data import PlantConfig
from inflib.numerics.hash_sampling import uniform_hash


def plant(
    config: PlantConfig,
    pair_id: str,
    sign: int,
    lengths: tuple[int, int],
    ratings: tuple[float, float] | None,
) -> tuple[int, bool, bool]:
    """(sign, planted, flipped) of a label after planting: its new sign, whether it was
    picked, and whether it was flipped.

    sign: +1 when response a is the chosen one, -1 for b; lengths, ratings: tokens and
    ratings of a and b. A label is picked with probability `share`, by a hash of its
    pair_id. If picked, the response with more tokens (or the higher rating, when the
    ratings differ by less than `max_difference`) becomes the chosen one; where they are
    equal the label stays as it is.
    """
    planted = uniform_hash(config.seed, pair_id) < config.share
    a, b = lengths if config.kind == "longer_chosen" else ratings or (0, 0)
    too_far = config.max_difference is not None and abs(a - b) >= config.max_difference
    if not planted or a == b or too_far:
        return sign, planted, False
    favoured = 1 if a > b else -1
    return favoured, True, favoured != sign


def selected(
    select: str, length_difference: int, rating_difference: float | None
) -> bool:
    """Whether a query set with this `select` takes a label.

    length_difference (tokens), rating_difference: of the chosen minus the rejected
    response.
    """
    if select == "all":
        return True
    by_rating = select.endswith("_rated")
    difference = rating_difference or 0.0 if by_rating else length_difference
    if select in ("chosen_shorter", "chosen_lower_rated"):
        return difference < 0
    return difference > 0
