"""The answers of a judge in its folder: kept one by one, then made into rows.

    judge/<key>/prompts.json    what was asked, word by word
    judge/<key>/answers/        one record for each answer, written as it arrives
    judge/<name>/ratings.jsonl  comparison_id, judge, a, b (mean ratings)
    judge/<name>/choices.jsonl  comparison_id, judge, shots, choice, asked
    judge/<name>/unparsable.jsonl
                                comparison_id, part: questions without an answer that
                                can be read; their comparisons are left out above
    judge/<name>/done.json      settings and totals

<key> is a digest of what decides the answers, <name> the judge's name. Several names
and sets may share a key, and do not pay twice for its answers.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from inflib.judging.plan import Question
from inflib.judging.questions import Questions, answer_name, other
from inflib.storage.folder import Folder

_AT_ONCE = 1024


@dataclass(frozen=True)
class Answer:
    """What is known of one answer; value is None where it cannot be read."""

    value: int | str | None
    tokens_in: int
    tokens_out: int
    retries: int
    """Tries before it that failed, for which the server reports no tokens."""


Answers = dict[str, Answer]
"""By the name of their file."""


def to_answer(record: Mapping[str, Any], asks: Questions) -> Answer:
    """The answer in a record."""
    return Answer(
        asks.read(record["text"]),
        record["tokens_in"],
        record["tokens_out"],
        record["retries"],
    )


def read_answers(folder: Folder, asks: Questions) -> Answers:
    """All answers that are kept in judge/<key>/answers/."""
    names = sorted(folder.names())
    answers: Answers = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        for name, record in zip(some, folder.read_jsons(some), strict=True):
            answers[name] = to_answer(record, asks)
    return answers


def chain(digest: str, repeat: int, reasks: int) -> Iterator[str]:
    """Files of the answers to a question, in the order in which it is asked again."""
    for reask in range(reasks + 1):
        yield answer_name(digest, repeat, reask)


def is_settled(names: Iterable[str], answers: Mapping[str, Answer]) -> bool:
    """Whether a question needs no more asking: it has a value, or all its answers."""
    for name in names:
        if name not in answers:
            return False
        if answers[name].value is not None:
            return True
    return True


def pending(
    questions: Iterable[Question], asks: Questions, answers: Answers
) -> list[tuple[Question, int]]:
    """Questions still to ask, with the numbers of their repeats; equal ones once."""
    found, seen = [], set()
    for question in questions:
        if question.digest in seen:
            continue
        seen.add(question.digest)
        for repeat in range(asks.config.repeats):
            names = chain(question.digest, repeat, asks.config.reasks)
            if not is_settled(names, answers):
                found.append((question, repeat))
    return found


@dataclass(frozen=True)
class Verdicts:
    """The rows of a judge's files, and what its answers took."""

    rows: list[dict[str, Any]]
    unparsable: list[dict[str, str]]
    totals: dict[str, int]


def verdicts(
    questions: Iterable[Question], asks: Questions, answers: Answers
) -> Verdicts:
    """Rows by comparison, in the order of the questions."""
    given: dict[str, list[Answer]] = {}
    values: dict[str, dict[str, list[Any]]] = {}
    for question in questions:
        digest = question.digest
        if digest not in given:
            given[digest] = _answers_to(digest, asks, answers)
        found = [a.value for a in given[digest] if a.value is not None]
        values.setdefault(question.comparison_id, {})[question.part] = found
    row = _rating if asks.config.task == "rate" else _choice
    return Verdicts(
        [
            {"comparison_id": name, "judge": asks.config.judge} | row(parts, asks)
            for name, parts in values.items()
            if all(parts.values())
        ],
        [
            {"comparison_id": name, "part": part}
            for name, parts in values.items()
            for part, found in parts.items()
            if not found
        ],
        totals(answer for some in given.values() for answer in some),
    )


def _answers_to(digest: str, asks: Questions, answers: Answers) -> list[Answer]:
    """All answers to a question, over its repeats; each repeat ends with a value."""
    found = []
    for repeat in range(asks.config.repeats):
        for name in chain(digest, repeat, asks.config.reasks):
            if name not in answers:
                break
            found.append(answers[name])
            if answers[name].value is not None:
                break
    return found


def totals(answers: Iterable[Answer]) -> dict[str, int]:
    """Sums over answers."""
    answers = list(answers)
    return {
        "requests": len(answers),
        "unparsable": sum(answer.value is None for answer in answers),
        "retried": sum(answer.retries for answer in answers),
        "tokens_in": sum(answer.tokens_in for answer in answers),
        "tokens_out": sum(answer.tokens_out for answer in answers),
    }


def _rating(parts: Mapping[str, list[Any]], asks: Questions) -> dict[str, Any]:
    return {part: math.fsum(found) / len(found) for part, found in parts.items()}


def _choice(parts: Mapping[str, list[Any]], asks: Questions) -> dict[str, Any]:
    """The response that is chosen more often, each order counting the same."""
    said = [
        {"first": first, "choice": first if letter == "A" else other(first)}
        for first, letters in parts.items()
        for letter in letters
    ]
    for_a = Fraction(0)
    for first, letters in parts.items():
        share = Fraction(letters.count("A"), len(letters))
        for_a += (share if first == "a" else 1 - share) / len(parts)
    half = Fraction(1, 2)
    choice = "tie" if for_a == half else "a" if for_a > half else "b"
    return {"shots": asks.config.shots, "choice": choice, "asked": said}
