"""Records of a judge's answers to rows of ratings or choices.

    judge/<key>/prompts.json    all words of the questions, beside the texts
    judge/<key>/answers/        one record for each answer, written as it arrives
    judge/<name>/ratings.jsonl  comparison_id, judge, a, b (mean ratings)
    judge/<name>/choices.jsonl  comparison_id, judge, shots, choice, asked
    judge/<name>/unparsable.jsonl
                                comparison_id, part (the question's side): questions
                                without an answer that can be read; their comparisons
                                are left out above
    judge/<name>/done.json      settings and totals

<key> is a digest of what decides the answers (Questionnaire.key), <name> the judge's
name. Several names and sets may share a key, and do not pay twice for its answers.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from inflib.judging.plan import Question
from inflib.judging.questions import Questionnaire, answer_name, other_side
from inflib.storage.folder import Folder

_AT_ONCE = 1024
"""Records that are read together."""


@dataclass(frozen=True)
class Answer:
    """One answer as read from its record."""

    value: int | str | None
    """Score 1 to 5, or A or B as shown; None where it cannot be read."""

    tokens_in: int
    tokens_out: int
    retries: int
    """Requests before it that failed, for which the server reports no tokens."""


Answers = dict[str, Answer]
"""{name of the answer's file: answer}."""


def to_answer(record: Mapping[str, Any], questionnaire: Questionnaire) -> Answer:
    """The answer in a record."""
    return Answer(
        questionnaire.read(record["text"]),
        record["tokens_in"],
        record["tokens_out"],
        record["retries"],
    )


def read_answers(folder: Folder, questionnaire: Questionnaire) -> Answers:
    """All answers that are stored in `folder`, judge/<key>/answers/."""
    names = sorted(folder.names())
    answers: Answers = {}
    for start in range(0, len(names), _AT_ONCE):
        chunk = names[start : start + _AT_ONCE]
        for name, record in zip(chunk, folder.read_jsons(chunk), strict=True):
            answers[name] = to_answer(record, questionnaire)
    return answers


def answer_names(digest: str, repeat: int, reasks: int) -> Iterator[str]:
    """Names of the files of the 1 + reasks answers that one repeat of a question may
    have, in the order in which it is asked again."""
    for reask in range(reasks + 1):
        yield answer_name(digest, repeat, reask)


def is_settled(names: Iterable[str], answers: Mapping[str, Answer]) -> bool:
    """Whether one repeat of a question needs no more asking: one of its answers has a
    value, or all of them are there.

    names: answer_names of the repeat.
    """
    for name in names:
        if name not in answers:
            return False
        if answers[name].value is not None:
            return True
    return True


def pending(
    questions: Iterable[Question], questionnaire: Questionnaire, answers: Answers
) -> list[tuple[Question, int]]:
    """Questions still to ask, each with the number of its repeat; equal ones once."""
    todo, seen = [], set()
    for question in questions:
        if question.digest in seen:
            continue
        seen.add(question.digest)
        for repeat in range(questionnaire.config.repeats):
            names = answer_names(question.digest, repeat, questionnaire.config.reasks)
            if not is_settled(names, answers):
                todo.append((question, repeat))
    return todo


@dataclass(frozen=True)
class Verdicts:
    """The rows of a judge's files, and what its answers took."""

    rows: list[dict[str, Any]]
    """Of ratings.jsonl or choices.jsonl."""

    unparsable: list[dict[str, str]]
    """Of unparsable.jsonl."""

    totals: dict[str, int]


def verdicts(
    questions: Iterable[Question], questionnaire: Questionnaire, answers: Answers
) -> Verdicts:
    """A row for each comparison whose questions all have a value, in their order."""
    received: dict[str, list[Answer]] = {}
    values: dict[str, dict[str, list[Any]]] = {}
    for question in questions:
        digest = question.digest
        if digest not in received:
            received[digest] = _answers_to(digest, questionnaire, answers)
        readable = [a.value for a in received[digest] if a.value is not None]
        values.setdefault(question.comparison_id, {})[question.side] = readable
    judge = questionnaire.config.judge
    row = _rating if questionnaire.config.task == "rate" else _choice
    return Verdicts(
        [
            {"comparison_id": name, "judge": judge} | row(sides, questionnaire)
            for name, sides in values.items()
            if all(sides.values())
        ],
        [
            {"comparison_id": name, "part": side}
            for name, sides in values.items()
            for side, readable in sides.items()
            if not readable
        ],
        totals(answer for batch in received.values() for answer in batch),
    )


def _answers_to(
    digest: str, questionnaire: Questionnaire, answers: Answers
) -> list[Answer]:
    """All answers to a question, repeat after repeat; each repeat ends with the first
    answer that can be read."""
    received = []
    for repeat in range(questionnaire.config.repeats):
        for name in answer_names(digest, repeat, questionnaire.config.reasks):
            if name not in answers:
                break
            received.append(answers[name])
            if answers[name].value is not None:
                break
    return received


def totals(answers: Iterable[Answer]) -> dict[str, int]:
    """Sums over answers: requests (their number), unparsable, retried, tokens_in and
    tokens_out."""
    answers = list(answers)
    return {
        "requests": len(answers),
        "unparsable": sum(answer.value is None for answer in answers),
        "retried": sum(answer.retries for answer in answers),
        "tokens_in": sum(answer.tokens_in for answer in answers),
        "tokens_out": sum(answer.tokens_out for answer in answers),
    }


def _rating(sides: Mapping[str, list[Any]], _: Questionnaire) -> dict[str, Any]:
    """Mean score of either response.

    sides: {side: scores}.
    """
    return {side: math.fsum(scores) / len(scores) for side, scores in sides.items()}


def _choice(
    sides: Mapping[str, list[Any]], questionnaire: Questionnaire
) -> dict[str, Any]:
    """The response that is chosen more often, each order counting the same.

    sides: {response shown first: choices, A for the first and B for the second}.
    """
    choices = [
        {"first": first, "choice": first if letter == "A" else other_side(first)}
        for first, letters in sides.items()
        for letter in letters
    ]
    for_a = Fraction(0)
    for first, letters in sides.items():
        share = Fraction(letters.count("A"), len(letters))
        for_a += (share if first == "a" else 1 - share) / len(sides)
    half = Fraction(1, 2)
    choice = "tie" if for_a == half else "a" if for_a > half else "b"
    return {"shots": questionnaire.config.shots, "choice": choice, "asked": choices}
