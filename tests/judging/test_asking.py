"""A worker and a real endpoint: requests, their pace, what makes it stop."""

import json
import time

import openai  # noqa: F401 - loaded before the clock starts
import pytest
from pydantic import SecretStr

from inflib.config.judge import JudgeConfig
from inflib.judging.asking import Asker
from inflib.judging.plan import list_questions
from inflib.judging.questions import SYCOPHANCY, Questionnaire, answer_name
from inflib.judging.verdicts import pending, read_answers, totals
from inflib.storage.folder import Folder
from tests.support.judge_configs import write_judged_set
from tests.support.judge_server import TOKENS_IN, TOKENS_OUT, JudgeServer, Reply

GOOD = Reply('{"score": 3}')


@pytest.fixture
def run(tmp_path):
    folder = Folder(str(tmp_path / "run"))
    write_judged_set(folder, "train", range(3))
    return folder


def ask_all(run, server, num_workers=1, **fields):
    """(receipt of all questions as one chunk, answers stored)."""
    settings = {"base_url": server.url, "model": "m", "retries": 1, **fields}
    config = JudgeConfig.model_validate(settings)
    questionnaire = Questionnaire(config, SYCOPHANCY, ())
    asker = Asker(run, questionnaire, SecretStr("key"), num_workers)
    receipt = asker(pending(list_questions(run, questionnaire), questionnaire, {}))
    return receipt, read_answers(asker.answers, questionnaire)


def test_requests_hold_the_settings_and_keep_the_pace(run):
    with JudgeServer(lambda question, before: GOOD).serving() as server:
        fields = {
            "requests_per_minute": 600,
            "temperature": None,
            "max_tokens": 9,
            "max_tokens_field": "max_completion_tokens",
            "extra": {"reasoning_effort": "low"},
        }
        begun = time.monotonic()
        receipt, answers = ask_all(run, server, num_workers=2, **fields)
    assert (receipt.questions, receipt.requests, receipt.problem) == (6, 6, "")
    assert (receipt.tokens_in, receipt.tokens_out) == (6 * TOKENS_IN, 6 * TOKENS_OUT)
    assert totals(answers.values())["tokens_in"] == receipt.tokens_in
    # Two workers share 600 a minute: each starts one every 0.2 s, and none arrives
    # before it is started.
    assert server.times[-1] - begun >= 5 * 0.2
    for body in server.bodies:
        assert body.keys() == {
            "messages",
            "model",
            "max_completion_tokens",
            "reasoning_effort",
        }
        assert (body["max_completion_tokens"], body["model"]) == (9, "m")


@pytest.mark.parametrize(
    ("reply", "tries", "problem"),
    [
        (Reply("no such model", status=404), 1, "HTTP 404: .*no such model"),
        (Reply("q", status=429, code="insufficient_quota"), 1, "HTTP 429"),
        (Reply("q", status=429, headers={"Retry-After": "700"}), 1, "wait for 700 s"),
        (Reply("oops", status=503), 2, r"HTTP 503: .*oops.*\(after 1 tries more\)"),
        (Reply(body="{}"), 2, "no chat completion: check judge.base_url"),
        (Reply("x" * 1000, status=400), 1, r"HTTP 400: .{280,300}\.\.\.$"),
    ],
)
def test_a_worker_stops_with_the_endpoints_words(run, reply, tries, problem):
    with JudgeServer(lambda question, before: reply).serving() as server:
        receipt, answers = ask_all(run, server, at_once=1)
    assert len(server.bodies) == tries
    assert (receipt.requests, answers) == (0, {})
    with pytest.raises(OSError, match=problem):
        raise OSError(receipt.problem)


def test_the_answer_stored_first_counts(run):
    """Another driver's worker stores an answer while this one asks."""
    record = {"text": '{"score": 1}', "finish": "stop", "tokens_in": 1}
    record |= {"tokens_out": 1, "retries": 0}

    def script(question, before):
        asker.answers.create(name, json.dumps(record).encode())
        return GOOD

    with JudgeServer(script).serving() as server:
        config = JudgeConfig.model_validate({"base_url": server.url, "model": "m"})
        questionnaire = Questionnaire(config, SYCOPHANCY, ())
        chunk = pending(list_questions(run, questionnaire), questionnaire, {})[:1]
        name = answer_name(chunk[0][0].digest, 0, 0)
        asker = Asker(run, questionnaire, SecretStr("key"), 1)
        assert asker(chunk).requests == 1
        (answer,) = read_answers(asker.answers, questionnaire).values()
        assert answer.value == 1
        assert asker(chunk).requests == 0
        assert len(server.bodies) == 1
