"""The address of generated data to its rows, made anew wherever they are read.

    generated:answers?pairs=900&seed=0            answers that differ in quality alone
    generated:flattery?pairs=900&seed=0           answers that also flatter, 1 to 5
    generated:flattery_ratings?pairs=900&seed=0   two scripted judges' ratings of that
    generated:attributes?pairs=900&seed=0         rated responses, two for each prompt

Rows of answers and flattery: pair_id, prompt, chosen (the better answer), rejected.
Rows of flattery_ratings: pair_id, judge, chosen, rejected. A rating is the level of
flattery that the answer was written with (1: none, to 5: fawning), and in one case of
25 a level more or less. Rated responses: data.synthetic.attributes.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from inflib.numerics.hash_sampling import uniform_hash
from inflib.synthetic.attributes import rated_responses
from inflib.synthetic.one_biased_labeler import comparison
from inflib.synthetic.topics import FLATTERY

PREFIX = "generated:"
JUDGES = ("scripted-1", "scripted-2")
_LEVELS = (*[1] * 14, 2, *[3] * 4, 4, *[5] * 5)
"""Levels of flattery, each as often as responses have it. Most responses do not flatter
at all, so few pairs have ratings that differ by little: of 900, the planted bias of
recipes/bias_sycophancy.yaml flips 4.9% (Min et al.: 4.17%)."""

_SLIPS = 0.04
"""Share of the ratings that are one level off."""


def rows(address: str) -> Iterator[dict[str, Any]]:
    """The rows of an address. Raises ValueError, naming it, for one that is unknown."""
    name, _, query = address.removeprefix(PREFIX).partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    try:
        count, seed = int(parameters.pop("pairs")), int(parameters.pop("seed", "0"))
        make = _MAKERS[name]
    except (KeyError, ValueError):
        count, parameters = 0, {"": ""}
    if count < 1 or parameters:
        raise ValueError(
            f"{address}: write {PREFIX}NAME?pairs=900&seed=0, NAME one of "
            f"{', '.join(_MAKERS)}"
        )
    yield from make(count, seed)


def _answers(count: int, seed: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(seed)
    for i in range(count):
        prompt, better, worse = comparison(rng)
        pair_id = f"{seed}-{i}"
        yield {"pair_id": pair_id, "prompt": prompt, "chosen": better} | {
            "rejected": worse
        }


def _flattery(count: int, seed: int) -> Iterator[dict[str, Any]]:
    for row in _answers(count, seed):
        for side in ("chosen", "rejected"):
            key = f"{row['pair_id']} {side}"
            phrases = FLATTERY[_level(key)]
            before, after = phrases[int(uniform_hash(1, key) * len(phrases))]
            row[side] = " ".join(filter(None, [before, row[side], after]))
        yield row


def _ratings(count: int, seed: int) -> Iterator[dict[str, Any]]:
    for row in _answers(count, seed):
        for judge in JUDGES:
            rating: dict[str, Any] = {"pair_id": row["pair_id"], "judge": judge}
            for side in ("chosen", "rejected"):
                key = f"{row['pair_id']} {side}"
                slip = uniform_hash(2, f"{key} {judge}") / _SLIPS
                step = 0 if slip >= 1 else 1 if slip < 0.5 else -1
                rating[side] = min(5, max(1, _level(key) + step))
            yield rating


def _level(key: str) -> int:
    """Level of flattery of a response. key: its pair_id and side."""
    return _LEVELS[int(uniform_hash(0, key) * len(_LEVELS))]


_MAKERS: dict[str, Callable[[int, int], Iterator[dict[str, Any]]]] = {
    "answers": _answers,
    "flattery": _flattery,
    "flattery_ratings": _ratings,
    "attributes": rated_responses,
}
