"""Answers to rows of ratings and choices; estimates; what is asked again, and when."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from inflib.judging.asking import Pace, pause, retry_after
from inflib.judging.plan import Question, estimate
from inflib.judging.questions import answer_name
from inflib.judging.verdicts import Answer, is_settled, verdicts
from tests.support.judge_configs import choosing, judge_settings, rating


def question(name: str, side: str, digest: str) -> Question:
    return Question("train", "00000", 0, name, side, digest, 401)


def answers(values: dict[str, list]) -> dict[str, Answer]:
    """values: {digest of a question: value of each answer to it, None: unreadable}."""
    return {
        answer_name(digest, 0, reask): Answer(value, 100, 10, reask)
        for digest, in_turn in values.items()
        for reask, value in enumerate(in_turn)
    }


def test_the_estimate_takes_four_characters_for_a_token_and_the_longest_answers():
    todo = [(question("c", "a", "x"), 0), (question("c", "b", "y"), 0)]
    config = judge_settings(price_in=3.0, price_out=15.0, max_tokens=200)
    plan = estimate(config, todo)
    assert (plan.requests, plan.tokens_in, plan.tokens_out) == (2, 201, 400)
    assert plan.cost == pytest.approx((3 * 201 + 15 * 400) / 1e6)


def test_what_is_settled_is_not_asked_again():
    stored = answers({"x": [None, 3], "y": [None, None], "z": [None, None, None]})
    names = {d: [answer_name(d, 0, reask) for reask in range(3)] for d in "wxyz"}
    assert [is_settled(names[d], stored) for d in "wxyz"] == [False, True, False, True]


def test_ratings_leave_out_what_cannot_be_read():
    questions = [
        question("c1", "a", "x"),
        question("c1", "b", "y"),
        question("c2", "a", "x"),  # the same response to the same prompt
        question("c2", "b", "z"),
    ]
    stored = answers({"x": [2], "y": [None, 5], "z": [None, None, None]})
    results = verdicts(questions, rating(name="j"), stored)
    assert results.rows == [{"comparison_id": "c1", "judge": "j", "a": 2.0, "b": 5.0}]
    assert results.unparsable == [{"comparison_id": "c2", "part": "b"}]
    assert results.totals == {
        "requests": 6,
        "unparsable": 4,
        "retried": 0 + 1 + 1 + 2,
        "tokens_in": 600,
        "tokens_out": 60,
    }


def test_the_ratings_of_all_repeats_are_averaged():
    questionnaire = rating(repeats=3, temperature=1.0)
    questions = [question("c", "a", "x"), question("c", "b", "y")]
    stored = {
        answer_name(digest, repeat, 0): Answer(value, 1, 1, 0)
        for digest, values in (("x", [1, 2, 4]), ("y", [5, 5, 3]))
        for repeat, value in enumerate(values)
    }
    (row,) = verdicts(questions, questionnaire, stored).rows
    assert (row["a"], row["b"]) == (pytest.approx(7 / 3), pytest.approx(13 / 3))


@pytest.mark.parametrize(
    ("first_a", "first_b", "choice"),
    [("A", "B", "a"), ("B", "A", "b"), ("A", "A", "tie"), ("B", "B", "tie")],
)
def test_two_orders_that_disagree_are_a_tie(first_a, first_b, choice):
    questions = [question("c", "a", "x"), question("c", "b", "y")]
    stored = answers({"x": [first_a], "y": [first_b]})
    (row,) = verdicts(questions, choosing(order="both", name="j"), stored).rows
    choices = [
        {"first": "a", "choice": "a" if first_a == "A" else "b"},
        {"first": "b", "choice": "b" if first_b == "A" else "a"},
    ]
    assert row == {
        "comparison_id": "c",
        "judge": "j",
        "shots": 0,
        "choice": choice,
        "asked": choices,
    }


def test_starts_of_requests_are_spaced():
    async def starts():
        pace = Pace(0.05)
        times = []

        async def start():
            await pace.turn()
            times.append(time.monotonic())

        begun = time.monotonic()
        await asyncio.gather(*(start() for _ in range(5)))
        return [moment - begun for moment in times]

    for place, seconds in enumerate(asyncio.run(starts())):
        assert seconds >= place * 0.05 - 1e-6  # a sleep may end a clock tick early


def test_pauses_are_drawn_and_grow_with_each_retry_up_to_a_minute():
    random.seed(0)  # pauses are drawn from the global generator
    for retries, longest in enumerate(
        [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    ):
        pauses = [pause(retries) for _ in range(20)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert retry_after({"retry-after": "7"}) == 7.0
    then = datetime.now(UTC) + timedelta(seconds=30)
    wait = retry_after({"retry-after": format_datetime(then, usegmt=True)})
    assert 25 < wait <= 30
    assert retry_after({}) == retry_after({"retry-after": "soon"}) == 0.0
