"""Generated preference data as a source of its own, made anew wherever it is read.

    generated:answers?pairs=900&seed=0            quality is all that differs
    generated:flattery?pairs=900&seed=0           answers also flatter, more or less
    generated:flattery_ratings?pairs=900&seed=0   scripted ratings of the latter
    generated:attributes?pairs=900&seed=0         rated responses, two for each prompt

Rows of answers and flattery: pair_id, prompt, chosen (the better answer), rejected.
Ratings: pair_id, judge, chosen, rejected (1: matter-of-fact, to 5: fawning), as LLM
judges would give them; ours are scripted: the level that an answer was written with,
one off in a twenty-fifth of the cases. Rated responses: data.synthetic.attributes.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from inflib.data.hash_sampling import unit_hash
from inflib.data.synthetic.attributes import rated_responses
from inflib.data.synthetic.one_biased_labeler import comparison
from inflib.data.synthetic.topics import FLATTERY

PREFIX = "generated:"
JUDGES = ("scripted-1", "scripted-2")
_LEVELS = (*[1] * 14, 2, *[3] * 4, 4, *[5] * 5)
"""As often as responses have them: most do not flatter at all, so that few pairs are
rated alike but not equal (of 900, 4.9% are flipped by the planted bias of
recipes/bias_sycophancy.yaml; the paper: 4.17%)."""

_SLIPS = 0.04


def rows(address: str) -> Iterator[dict[str, Any]]:
    """The rows of an address. Raises ValueError naming what is wrong with it."""
    name, _, query = address.removeprefix(PREFIX).partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    try:
        count, seed = int(given.pop("pairs")), int(given.pop("seed", "0"))
        make = _MAKERS[name]
    except (KeyError, ValueError):
        count, given = 0, {"": ""}
    if count < 1 or given:
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
            before, after = phrases[int(unit_hash(1, key) * len(phrases))]
            row[side] = " ".join(filter(None, [before, row[side], after]))
        yield row


def _ratings(count: int, seed: int) -> Iterator[dict[str, Any]]:
    for row in _answers(count, seed):
        for judge in JUDGES:
            found: dict[str, Any] = {"pair_id": row["pair_id"], "judge": judge}
            for side in ("chosen", "rejected"):
                key = f"{row['pair_id']} {side}"
                slip = unit_hash(2, f"{key} {judge}") / _SLIPS
                step = 0 if slip >= 1 else 1 if slip < 0.5 else -1
                found[side] = min(5, max(1, _level(key) + step))
            yield found


def _level(key: str) -> int:
    return _LEVELS[int(unit_hash(0, key) * len(_LEVELS))]


_MAKERS: dict[str, Callable[[int, int], Iterator[dict[str, Any]]]] = {
    "answers": _answers,
    "flattery": _flattery,
    "flattery_ratings": _ratings,
    "attributes": rated_responses,
}
