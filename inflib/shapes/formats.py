"""A row of each format to answers and votes. docs/formats.md has an example of each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from inflib.config.shapes import ShapeConfig
from inflib.files.raw_rows import kind_of
from inflib.shapes.cells import MISSING, at, id_text, is_blank, number, parsed, share
from inflib.shapes.judged import TIE, Judged, Vote, votes_by_score
from inflib.shapes.messages import is_texts
from inflib.shapes.shape import Shape
from inflib.shapes.spellings import COLUMNS, ONE_HOT, VERDICTS
from inflib.shapes.winners import (
    FROM_ONE,
    LISTS,
    RANKS,
    counts_by_side,
    read_verdict,
    vote,
    vote_by_count,
    vote_by_scores,
)

Fields = dict[str, Any]


def read(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    """What a row says. Raises ValueError where it does not fit the shape."""
    return _FORMATS[shape.format](fields, shape, config)


def _pairs(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    chosen, rejected = (_needed(fields, shape, r) for r in ("chosen", "rejected"))
    prompt, messages, others = shape.prompt(fields), parsed(chosen), parsed(rejected)
    ends_in_it = isinstance(messages, list) and all(
        isinstance(m, dict) for m in messages
    )
    if prompt is None and ends_in_it and isinstance(others, str):
        prompt, chosen = messages[:-1], messages[-1:]
    better = [chosen]
    if is_texts(chosen) and is_texts(rejected) and not is_texts(parsed(prompt)):
        better = chosen
    elif (
        not is_texts(others)
        or is_texts(messages)
        or (isinstance(rejected, str) and shape.scale != LISTS)
    ):
        others = [rejected]
    target = shape.cell(fields, "target")
    if target is MISSING:
        probability = 1.0
    else:
        read_target = share(target)
        if read_target is None or not 0 <= read_target <= 1:
            raise ValueError(f"{shape.name('target')!r} is no probability (0 to 1)")
        probability = read_target
    answers = [*better, *others]
    votes = [
        Vote(
            i,
            j,
            probability,
            _strength(fields, shape),
            name=f"{i + 1}>{j + 1}" if len(answers) > 2 else "",
        )
        for i in range(len(better))
        for j in range(len(better), len(answers))
    ]
    return [Judged(prompt, answers, votes)]


def _edits(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    roles = ("edited", "chosen", "rejected")
    cells = [shape.cell(fields, role) for role in roles]
    answers = [cell for cell in cells if not is_blank(cell)]
    if len(answers) < 2:
        raise ValueError("fewer than two answers")
    ranks: list[float | None] = [float(i) for i in range(len(answers))]
    votes = [replace(v, strength=None) for v in votes_by_score(ranks, config, False)]
    return [Judged(shape.prompt(fields), answers, votes)]


def _winner(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    if "answers" in shape.columns:
        answers = _answers(fields, shape)
        if len(answers) != 2:
            raise ValueError(f"{len(answers)} answers, not two")
    else:
        answers = [_needed(fields, shape, r) for r in ("response_a", "response_b")]
    return [Judged(shape.prompt(fields), answers, _votes(fields, shape, config))]


def _votes(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Vote]:
    """The votes of a row with two responses."""
    columns = shape.columns
    if "verdict" in columns:
        names = columns["verdict"]
        if isinstance(names, str):
            verdict = _verdict(at(fields, names), fields, shape, config)
            strength = _strength(fields, shape)
            return [
                verdict if strength is None else replace(verdict, strength=strength)
            ]
        if tuple(names) in ONE_HOT:
            return [_one_hot(fields, names)]
        return _several(
            [(name, at(fields, name)) for name in names], fields, shape, config
        )
    if "judgments" in columns:
        judgments = parsed(shape.cell(fields, "judgments"))
        if counts := counts_by_side(judgments):
            return [vote_by_count(*counts)]
        if isinstance(judgments, dict):
            return _several([*judgments.items()], fields, shape, config)
        if not isinstance(judgments, list):
            raise ValueError(f"no judgments in {shape.name('judgments')!r}")
        return _several(
            [judgment(item, i) for i, item in enumerate(judgments, start=1)],
            fields,
            shape,
            config,
        )
    if "votes_a" in columns:
        a, b = (shape.cell(fields, name) for name in ("votes_a", "votes_b"))
        return [vote_by_count(a, b)]
    a, b = (shape.cell(fields, name) for name in ("score_a", "score_b"))
    return [vote_by_scores(b, a) if shape.scale == RANKS else vote_by_scores(a, b)]


def _verdict(value: Any, fields: Fields, shape: Shape, config: ShapeConfig) -> Vote:
    """A vote by words and numbers, by the names of the two responses' columns, or of
    the models that wrote them."""
    answers = [shape.cell(fields, name) for name in ("response_a", "response_b")]
    if isinstance(value, str) and value in answers and answers[0] != answers[1]:
        return vote(float(value == answers[0]))
    inside = parsed(value)
    if isinstance(inside, dict):
        value = judgment(inside, 0)[1]
    for pair in (("model_a", "model_b"), ("model_1", "model_2")):
        models = [id_text(fields.get(name)) for name in pair]
        if isinstance(value, str) and value in models and models[0] != models[1]:
            return vote(float(value == models[0]))
    names = shape.name("response_a"), shape.name("response_b")
    return read_verdict(value, shape.scale, names, config)


def _several(
    verdicts: list[tuple[str, Any]], fields: Fields, shape: Shape, config: ShapeConfig
) -> list[Vote]:
    """A vote of each labeler that gave a verdict."""
    votes = [
        replace(_verdict(value, fields, shape, config), labeler=name, name=name)
        for name, value in verdicts
        if not is_blank(value)
    ]
    if not votes:
        raise ValueError("no verdict")
    return votes


def judgment(item: Any, number_of_it: int) -> tuple[str, Any]:
    """(labeler, verdict) of one annotation in a list."""
    if not isinstance(item, dict):
        return str(number_of_it), item
    results = item.get("result")
    if isinstance(results, list) and results:  # Label Studio
        picked = (at(result, "value.selected") for result in results)
        item = item | {"preference": next((p for p in picked if not is_blank(p)), None)}
    if item.get("was_cancelled") is True:
        return str(number_of_it), None
    verdicts = (item[name] for name in (*VERDICTS, "score", "value") if name in item)
    labelers = (id_text(item[n]) for n in (*COLUMNS["labeler"], "id") if n in item)
    return next(labelers, None) or str(number_of_it), next(verdicts, None)


def _one_hot(fields: Fields, names: tuple[str, ...]) -> Vote:
    values = [number(fields.get(name)) or 0.0 for name in names]
    if sum(values) != 1:
        raise ValueError(f"not one of {', '.join(names)} is 1")
    return vote(values[0] + TIE * values[2])


def _ranking(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    answers, ranks = _scored(fields, shape, "rank")
    return [Judged(shape.prompt(fields), answers, votes_by_score(ranks, config, False))]


def _ratings(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    answers, scores = _scored(fields, shape, "score")
    return [Judged(shape.prompt(fields), answers, votes_by_score(scores, config, True))]


def _best_of_n(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    answers = _answers(fields, shape)
    best, start = number(shape.cell(fields, "best")), int(shape.scale == FROM_ONE)
    if best is None or best % 1 or not start <= best < len(answers) + start:
        raise ValueError(
            f"{shape.name('best')!r} is no place in the {len(answers)} answers, from "
            f"{start}"
        )
    first = int(best) - start
    votes = [
        Vote(first, i, name=f"{first + 1}>{i + 1}")
        for i in range(len(answers))
        if i != first
    ]
    return [Judged(shape.prompt(fields), answers, votes)]


def _turns(fields: Fields, shape: Shape, config: ShapeConfig) -> list[Judged]:
    """A comparison in each turn; the dialogue goes on from the chosen responses."""
    turns = parsed(shape.cell(fields, "turns"))
    history: list[dict[str, Any]] = []
    judged = []
    for i, turn in enumerate(turns if isinstance(turns, list) else [], start=1):
        if not isinstance(turn, dict):
            raise ValueError(f"turn {i} is {kind_of(turn)}, not an object")
        asked, chosen, rejected = (
            next((turn[n] for n in COLUMNS[role] if not is_blank(turn.get(n))), None)
            for role in ("prompt", "chosen", "rejected")
        )
        if not isinstance(asked, str) or not isinstance(chosen, str):
            raise ValueError(f"turn {i} has no prompt or no chosen response as text")
        history = [*history, {"role": "user", "content": asked}]
        if rejected is not None:
            judged.append(
                Judged(history, [chosen, rejected], [Vote(0, 1, name=f"t{i}")])
            )
        history = [*history, {"role": "assistant", "content": chosen}]
    if not judged:
        raise ValueError(f"no turn with two responses in {shape.name('turns')!r}")
    return judged


def _scored(
    fields: Fields, shape: Shape, role: str
) -> tuple[list[Any], list[float | None]]:
    """(answers, a number for each); Raises ValueError unless there are as many."""
    answers = _answers(fields, shape)
    values = shape.values(fields, role)
    if values is None or len(values) != len(answers):
        raise ValueError(
            f"{len(answers)} answers and {len(values or [])} values in "
            f"{shape.name(role)!r}"
        )
    numbers = [number(value) for value in values]
    if sum(value is not None for value in numbers) < 2:
        raise ValueError(f"fewer than two answers have a {role}")
    return answers, numbers


def _answers(fields: Fields, shape: Shape) -> list[Any]:
    answers = shape.values(fields, "answers")
    if answers is None or len(answers) < 2:
        raise ValueError(f"fewer than two answers in {shape.name('answers')!r}")
    for i, answer in enumerate(answers, start=1):
        if is_blank(answer):
            raise ValueError(f"answer {i} is empty")
    return answers


def _strength(fields: Fields, shape: Shape) -> float | None:
    """How much better: a column of its own, or the difference of two scores."""
    value = number(shape.cell(fields, "strength"))
    if value is not None:
        return abs(value)
    if {"score_a", "score_b"} <= shape.columns.keys():
        a, b = (number(shape.cell(fields, name)) for name in ("score_a", "score_b"))
        return None if a is None or b is None else abs(a - b)
    return None


def _needed(fields: Fields, shape: Shape, role: str) -> Any:
    value = shape.cell(fields, role)
    if is_blank(value):
        what = "empty response in" if isinstance(value, str) else "no field"
        raise ValueError(f"{what} {shape.name(role)!r}")
    return value


_FORMATS: dict[str, Callable[[Fields, Shape, ShapeConfig], list[Judged]]] = {
    "pairs": _pairs,
    "edits": _edits,
    "winner": _winner,
    "ranking": _ranking,
    "ratings": _ratings,
    "best_of_n": _best_of_n,
    "turns": _turns,
}
"""{format: its reading}; formats whose answers are in several rows are gathered first
(inflib.shapes.gathering)."""
