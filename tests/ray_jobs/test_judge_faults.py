"""Judging when things go wrong: nothing is lost, nothing paid for twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import ray
import yaml

from ray_jobs.judge import judge
from ray_jobs.shared.session import run_stages
from tests.support.files import ROOT, read_jsonl
from tests.support.judge_server import TOKENS_IN, TOKENS_OUT, JudgeServer, Reply
from tests.support.judged import (
    PRICES,
    comparisons,
    rate,
    responses,
    results,
    texts,
    with_judge,
)


@pytest.mark.slow
def test_faults_of_the_endpoint_are_retried_counted_and_never_guessed(judged_run):
    rows = comparisons(judged_run, "expert")
    all_texts = [row[x] for row in rows for x in ("response_a", "response_b")]
    alone = [r["response_a"] for r in rows if all_texts.count(r["response_a"]) == 1]
    limited, broken, silent, once, never, long = alone[:6]

    def script(question: str, before: int) -> Reply:
        text = texts(question)["RESPONSE"]
        first = before == 0
        if text == limited and first:
            return Reply("slow down", status=429, headers={"Retry-After": "1"})
        if text == broken and before < 2:
            return Reply("oops", status=500) if first else Reply(body="{")
        if text == silent and first:
            return Reply(hang=5.5)
        if text == never:
            return Reply('Well: {"score": 6}, {"score": "high"}, {"score": 2')
        if text == long:
            return Reply("too long", status=400, code="context_length_exceeded")
        if text == once and "could not be read" not in question:
            return Reply("I would rather not say.")
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        recipe = with_judge(
            judged_run, server, model="faulty", sets=["expert"], timeout=5.0, reasks=2
        )
        run_stages(recipe, [judge])
        folder, done = results(recipe)
        left_out = [r["comparison_id"] for r in rows if {never, long} & {*r.values()}]
        rated = [r["comparison_id"] for r in read_jsonl(folder / "ratings.jsonl")]
        assert rated == [
            r["comparison_id"] for r in rows if r["comparison_id"] not in left_out
        ]
        unparsable = read_jsonl(folder / "unparsable.jsonl")
        assert sorted(r["comparison_id"] for r in unparsable) == sorted(left_out)
        distinct = len(responses(judged_run, "expert"))
        # never: two answers more; long: two refusals more, free; once: one more
        assert done["requests"] == distinct + 2 + 2 + 1
        assert done["unparsable"] == 3 + 3 + 1
        assert done["retried"] == 1 + 2 + 1
        assert done["left_out"] == len(left_out)
        assert done["tokens_in"] == TOKENS_IN * (done["requests"] - 3)
        tries = [
            t
            for q, t in zip(server.questions, server.times, strict=True)
            if texts(q)["RESPONSE"] == limited
        ]
        assert tries[1] - tries[0] >= 1.0
        count = len(server.bodies)
        (folder / "done.json").unlink()
        run_stages(recipe, [judge])
        assert len(server.bodies) == count


@pytest.mark.slow
def test_a_refused_key_stops_and_what_was_answered_is_kept(
    judged_run, monkeypatch, capsys
):
    monkeypatch.setenv("JUDGE_TEST_KEY", "sk-secret-words")
    distinct = len(responses(judged_run, "train"))
    refused = threading.Event()

    def script(question: str, before: int) -> Reply:
        if refused.is_set() or len(server.bodies) > distinct // 2:
            refused.set()
            return Reply("bad key sk-secret-words", status=401)
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        fields = {"model": "keyed", "api_key_env": "JUDGE_TEST_KEY", "at_once": 2}
        recipe = with_judge(judged_run, server, **fields)
        with pytest.raises(OSError, match=r"HTTP 401: .*bad key \[key\]"):
            run_stages(recipe, [judge])
        paid = server.answered
        assert 0 < paid <= distinct // 2
        assert set(server.keys) == {"Bearer sk-secret-words"}
    with JudgeServer(rate).serving() as server:
        run_stages(with_judge(judged_run, server, **fields), [judge])
        assert paid + server.answered == distinct
    _, done = results(recipe)
    assert done["requests"] == distinct
    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir()) / context.get_session_name()
    files = [*Path(recipe.run).rglob("*"), *(session / "logs").rglob("*")]
    secret = [p for p in files if p.is_file() and b"sk-secret" in p.read_bytes()]
    assert secret == []
    out = capsys.readouterr()
    assert "sk-secret-words" not in out.out + out.err
    monkeypatch.delenv("JUDGE_TEST_KEY")
    with pytest.raises(ValueError, match="JUDGE_TEST_KEY is not set"):
        run_stages(with_judge(judged_run, server, **fields | {"model": "x"}), [judge])


@pytest.mark.slow
def test_a_killed_worker_pays_again_for_answers_under_way_only(judged_run):
    distinct = len(responses(judged_run, "train"))
    at_once, killed = 2, threading.Event()

    def script(question: str, before: int) -> Reply:
        if len(server.bodies) >= distinct // 2 and not killed.is_set():
            killed.set()
            os.kill(client_of(server), signal.SIGKILL)
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        recipe = with_judge(judged_run, server, model="killed", at_once=at_once)
        run_stages(recipe, [judge])
        assert killed.is_set()
        assert distinct < len(server.bodies) <= distinct + at_once
    _, done = results(recipe)
    assert (done["requests"], done["left_out"]) == (distinct, 0)


def client_of(server: JudgeServer) -> int:
    """pid of the process that is connected to the server."""
    port = int(server.url.split(":")[2].split("/")[0])
    (pid,) = {
        c.pid
        for c in psutil.net_connections("tcp")
        if c.raddr and c.raddr.port == port and c.pid not in (None, os.getpid())
    }
    assert pid is not None
    return pid


def test_costs_are_refused_beforehand_and_stop_on_the_way(judged_run):
    with JudgeServer(rate).serving() as server:
        fields = {"model": "dear", "at_once": 1, "max_tokens": 1, **PRICES}
        with pytest.raises(
            ValueError, match=r"max_cost 1e-06 is less than the estimate"
        ):
            run_stages(with_judge(judged_run, server, **fields, max_cost=1e-6), [judge])
        assert server.bodies == []
        # A judge who writes seven times as much as it is said to.
        fields = {"model": "wordy", "at_once": 1, "max_tokens": 1, "price_out": 10.0}
        wordy = with_judge(judged_run, server, **fields, max_cost=0.001)
        with pytest.raises(ValueError, match=r"max_cost 0.001 is reached"):
            run_stages(wordy, [judge])
        assert server.answered * TOKENS_OUT * 10.0 / 1e6 > 0.001
        assert server.answered < len(responses(judged_run, "train"))


@pytest.mark.slow
def test_a_killed_driver_pays_again_for_answers_under_way_only(judged_run, tmp_path):
    """From the command line, on data that is not prepared."""
    distinct = len(responses(judged_run, "train"))
    at_once, killed = 2, threading.Event()

    def script(question: str, before: int) -> Reply:
        if len(server.bodies) >= distinct // 2 and not killed.is_set():
            killed.set()
            started.kill()
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        recipe = with_judge(judged_run, server, model="driven", at_once=at_once)
        recipe = recipe.model_copy(update={"run": str(tmp_path / "run")})
        config = tmp_path / "recipe.yaml"
        config.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        command = [sys.executable, "-m", "ray_jobs.judge", "--config", str(config)]
        started = subprocess.Popen(command, cwd=ROOT)
        started.wait()
        assert killed.is_set()
        time.sleep(5)  # what its workers had under way ends, and they with it
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr[-3000:]
        assert distinct <= len(server.bodies) <= distinct + at_once
    _, done = results(recipe)
    assert (done["requests"], done["left_out"]) == (distinct, 0)
