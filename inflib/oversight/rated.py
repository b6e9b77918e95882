"""Files of responses with sub-objective scores to pairs of responses to one prompt.

A row holds prompt, response, and a number for every objective; other columns are
ignored. Rows of one prompt follow each other, as in HelpSteer2.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

from inflib.config.data import SourceConfig
from inflib.files.paths import find_files
from inflib.files.raw_rows import BadRow
from inflib.files.readers import options_of, read_rows
from inflib.numerics.hash_sampling import in_part


@dataclass(frozen=True)
class Rated:
    """One response to a prompt, with its scores."""

    prompt: str
    response: str
    scores: tuple[float, ...]
    """One for each objective."""


@dataclass(frozen=True)
class RatedPair:
    """Two responses to a prompt, in random order."""

    pair_id: str
    first: Rated
    second: Rated


def read_pairs(
    source: SourceConfig, objectives: tuple[str, ...], per_prompt: int, seed: int
) -> tuple[list[RatedPair], list[BadRow]]:
    """(pairs, rows that cannot be used): of each prompt in the source's part of the
    prompts, up to `per_prompt` pairs, drawn by the seed.

    Pairs with equal texts or with equal scores in every objective are left out: nothing
    can be learned from either. Raises ValueError when there is no pair.
    """
    bad: list[BadRow] = []
    rated = _read(source, objectives, bad)
    pairs: list[RatedPair] = []
    for prompt, responses in groupby(rated, key=lambda row: row.prompt):
        if in_part(source.part, prompt):
            pairs += _pairs(list(responses), per_prompt, seed)
    if not pairs:
        example = f"; the first bad row: {_describe(bad[0])}" if bad else ""
        raise ValueError(
            f"{source.path}: no two responses to one prompt in rows that follow each "
            f"other, with different scores, in part {list(source.part)}{example}"
        )
    return pairs, bad


def _describe(row: BadRow) -> str:
    return f"{row.file} row {row.row}: {row.problem}"


def stop_at(bad: list[BadRow]) -> None:
    """Raises ValueError that lists the first five bad rows, unless there are none."""
    if bad:
        listed = "\n".join(map(_describe, bad[:5]))
        raise ValueError(
            f"{len(bad)} rows cannot be used (prepare.on_bad_rows):\n{listed}"
        )


def _read(
    source: SourceConfig, objectives: tuple[str, ...], bad: list[BadRow]
) -> Iterator[Rated]:
    names = {
        ours: str(source.columns.get(ours, ours)) for ours in ("prompt", "response")
    }
    for file in find_files(source.path):
        for raw in read_rows(file, options_of(source)):
            if isinstance(raw, BadRow):
                bad.append(raw)
                continue
            try:
                response = Rated(
                    _text(raw.fields, names["prompt"]),
                    _text(raw.fields, names["response"]),
                    tuple(_number(raw.fields, name) for name in objectives),
                )
            except ValueError as error:
                bad.append(BadRow(raw.file, raw.row, str(error)))
            else:
                yield response


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no text in {name!r}")
    return value


def _number(fields: dict[str, Any], name: str) -> float:
    try:
        value = float(fields[name])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"no number in {name!r} (oversight.objectives)")
    return value


def _pairs(responses: list[Rated], most: int, seed: int) -> list[RatedPair]:
    """Up to `most` pairs of one prompt, drawn and ordered by its hash and the seed."""
    name = hashlib.sha256(responses[0].prompt.encode()).hexdigest()[:12]
    rng = random.Random(f"{seed} {name}")
    places = [
        (i, j)
        for i, j in combinations(range(len(responses)), 2)
        if responses[i].response != responses[j].response
        and responses[i].scores != responses[j].scores
    ]
    pairs = []
    for i, j in rng.sample(places, min(most, len(places))):
        first, second = rng.sample((i, j), 2)
        pairs.append(RatedPair(f"{name}-{i}-{j}", responses[first], responses[second]))
    return pairs
