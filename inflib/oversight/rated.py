"""Responses with sub-objective scores to pairs of responses.

Rows of one prompt follow each other, as in HelpSteer2: prompt, response, and a number
for every objective; other columns are ignored.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

from inflib.config.data import SourceConfig
from inflib.data.hash_sampling import in_part
from inflib.data.readers import BadRow, find_files, read_rows


@dataclass(frozen=True)
class Rated:
    """One response."""

    prompt: str
    response: str
    scores: tuple[float, ...]
    """Of each objective."""


@dataclass(frozen=True)
class RatedPair:
    """Two responses to a prompt, in random order."""

    pair_id: str
    first: Rated
    second: Rated


def read_pairs(
    source: SourceConfig, objectives: tuple[str, ...], per_prompt: int, seed: int
) -> tuple[list[RatedPair], list[BadRow]]:
    """Pairs of the prompts in the source's part, and the rows that cannot be used.

    Raises ValueError when there is no pair. Pairs with equal texts or equal scores in
    every objective are left out: nothing can be learned from either.
    """
    bad: list[BadRow] = []
    rated = _read(source, objectives, bad)
    pairs: list[RatedPair] = []
    for prompt, group in groupby(rated, key=lambda row: row.prompt):
        if in_part(source.part, prompt):
            pairs += _pairs(list(group), per_prompt, seed)
    if not pairs:
        said = f"; the first bad row: {_said(bad[0])}" if bad else ""
        raise ValueError(
            f"{source.path}: no two responses to one prompt in rows that follow each "
            f"other, with different scores, in part {list(source.part)}{said}"
        )
    return pairs, bad


def _said(row: BadRow) -> str:
    return f"{row.file} row {row.row}: {row.problem}"


def stop_at(bad: list[BadRow]) -> None:
    """Raises ValueError that lists the first rows, if there are any."""
    if bad:
        listed = "\n".join(map(_said, bad[:5]))
        raise ValueError(
            f"{len(bad)} rows cannot be used (prepare.on_bad_rows):\n{listed}"
        )


def _read(
    source: SourceConfig, objectives: tuple[str, ...], bad: list[BadRow]
) -> Iterator[Rated]:
    names = {ours: source.columns.get(ours, ours) for ours in ("prompt", "response")}
    for file in find_files(source.path):
        for raw in read_rows(file, source.split):
            if isinstance(raw, BadRow):
                bad.append(raw)
                continue
            try:
                found = Rated(
                    _text(raw.fields, names["prompt"]),
                    _text(raw.fields, names["response"]),
                    tuple(_number(raw.fields, name) for name in objectives),
                )
            except ValueError as error:
                bad.append(BadRow(raw.file, raw.row, str(error)))
            else:
                yield found


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


def _pairs(group: list[Rated], most: int, seed: int) -> list[RatedPair]:
    """Up to `most` pairs of one prompt, drawn and ordered by its hash and the seed."""
    name = hashlib.sha256(group[0].prompt.encode()).hexdigest()[:12]
    rng = random.Random(f"{seed} {name}")
    places = [
        (i, j)
        for i, j in combinations(range(len(group)), 2)
        if group[i].response != group[j].response and group[i].scores != group[j].scores
    ]
    found = []
    for i, j in rng.sample(places, min(most, len(places))):
        first, second = rng.sample((i, j), 2)
        found.append(RatedPair(f"{name}-{i}-{j}", group[first], group[second]))
    return found
