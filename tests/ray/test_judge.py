"""Judging over a real endpoint: exact results, and nothing paid for twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.pairs_folder import PairsFolder
from inflib.ratings import read_choices, read_ratings
from ray_jobs.judge import judge
from ray_jobs.prepare import prepare
from ray_jobs.session import run_stages
from tests.conftest import build_tokenizer, read_jsonl
from tests.judge_server import TOKENS_IN, TOKENS_OUT, JudgeServer, Reply
from tests.ray.conftest import ROOT
from tests.ray.conftest import _answers as answers
from tests.ray.conftest import _free_port as free_port

TEXT = re.compile(
    r"\[\[(\w+(?: [AB])?) ([0-9a-f]{12})\]\]\n(.*?)\n\[\[END \1 \2\]\]", re.S
)
PRICES = {"price_in": 2.0, "price_out": 10.0}


@pytest.fixture(scope="module")
def prepared(audited: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A run that is prepared; tests judge it under names and models of their own."""
    run = tmp_path_factory.mktemp("judged") / "run"
    shutil.copytree(Path(audited.run) / "pairs", run / "pairs")
    return audited.model_copy(update={"run": str(run)})


def with_judge(recipe: Recipe, server: JudgeServer, **fields: Any) -> Recipe:
    about = {"base_url": server.url, "api_key_env": None, **fields}
    return Recipe.model_validate(recipe.model_dump() | {"judge": about})


def comparisons(recipe: Recipe, *sets: str) -> list[dict[str, str]]:
    folders = [PairsFolder(Folder(recipe.run) / "pairs" / pairs) for pairs in sets]
    names = ["comparison_id", "prompt", "response_a", "response_b"]
    return [
        row
        for folder in folders
        for shard in folder.plan()
        for row in folder.comparisons(shard, names).to_pylist()
    ]


def responses(recipe: Recipe, *sets: str) -> set[tuple[str, str]]:
    """Distinct (prompt, response)."""
    rows = comparisons(recipe, *sets)
    return {(r["prompt"], r[x]) for r in rows for x in ("response_a", "response_b")}


def results(recipe: Recipe) -> tuple[Path, dict[str, Any]]:
    assert recipe.judge is not None
    folder = Path(recipe.run) / "judge" / recipe.judge.judge
    return folder, json.loads((folder / "done.json").read_text())


def texts(question: str) -> dict[str, str]:
    """The texts under judgement by their names; those of examples are overwritten."""
    return {name: text for name, _, text in TEXT.findall(question)}


def stars(text: str) -> int:
    return 1 + len(text) % 5


def rate(question: str, before: int) -> Reply:
    score = stars(texts(question)["RESPONSE"])
    return Reply(json.dumps({"feedback": "so", "score": score}))


def longer(question: str, before: int) -> Reply:
    shown = texts(question)
    first = len(shown["RESPONSE A"]) > len(shown["RESPONSE B"])
    return Reply(json.dumps({"choice": "A" if first else "B"}))


def test_every_response_is_rated_once_whatever_the_labels(prepared):
    rows = comparisons(prepared, "train", "expert", "concise")
    shown = responses(prepared, "train", "expert", "concise")
    distinct = {row["comparison_id"]: row for row in rows}
    assert len(distinct) < len(rows)  # concise is a part of expert
    with JudgeServer(rate).serving() as server:
        recipe = with_judge(
            prepared,
            server,
            model="rater",
            name="stars",
            sets=["train", "expert", "concise"],
            workers=2,
            **PRICES,
        )
        run_stages(recipe, [prepare, judge])
        asked = [
            (t["INSTRUCTION"], t["RESPONSE"]) for t in map(texts, server.questions)
        ]
        assert Counter(asked) == Counter(shown)
        folder, done = results(recipe)
        assert read_jsonl(folder / "ratings.jsonl") == [
            {
                "comparison_id": name,
                "judge": "stars",
                "a": float(stars(row["response_a"])),
                "b": float(stars(row["response_b"])),
            }
            for name, row in distinct.items()
        ]
        count = len(shown)
        assert {k: done[k] for k in ("comparisons", "left_out", "requests")} == {
            "comparisons": len(distinct),
            "left_out": 0,
            "requests": count,
        }
        assert (done["tokens_in"], done["tokens_out"]) == (
            TOKENS_IN * count,
            TOKENS_OUT * count,
        )
        spend = count * (2.0 * TOKENS_IN + 10.0 * TOKENS_OUT) / 1e6
        assert done["spend"] == pytest.approx(spend, abs=1e-6)
        before = (folder / "done.json").stat().st_mtime_ns
        run_stages(recipe, [prepare, judge])
        assert len(server.bodies) == count
        assert (folder / "done.json").stat().st_mtime_ns == before
        # Fewer sets, another server: all is there already.
        fewer = with_judge(prepared, server, model="rater", name="fewer")
        run_stages(fewer, [prepare, judge])
        assert len(server.bodies) == count
    found = read_ratings([str(folder / "ratings.jsonl")], (1.0, 5.0))
    one = rows[0]
    a, b = stars(one["response_a"]), stars(one["response_b"])
    assert found.rating("any", one["comparison_id"], -1) == (a, b)


def test_comparisons_in_one_order_and_then_in_both(prepared):
    rows = comparisons(prepared, "train")
    fooled = {row["comparison_id"] for row in rows[::3]}  # says A to whatever it sees
    by_texts = {
        frozenset((r["response_a"], r["response_b"])): r["comparison_id"] for r in rows
    }

    def choose(question: str, before: int) -> Reply:
        shown = texts(question)
        pair = frozenset((shown["RESPONSE A"], shown["RESPONSE B"]))
        fool = by_texts[pair] in fooled
        return Reply('{"choice": "A"}') if fool else longer(question, before)

    with JudgeServer(choose).serving() as server:
        fields = {"model": "chooser", "task": "compare", "name": "c", "seed": 3}
        few = {"shots": 4, "examples": "expert"}
        once = with_judge(prepared, server, **fields, **few)
        run_stages(once, [judge])
        assert len(server.bodies) == len(rows)
        folder, _ = results(once)
        random = read_jsonl(folder / "choices.jsonl")
        for row, said in zip(rows, random, strict=True):
            (only,) = said["asked"]
            better = max("ab", key=lambda x: len(row[f"response_{x}"]))
            right = only["first"] if row["comparison_id"] in fooled else better
            assert said["choice"] == only["choice"] == right
            assert said["shots"] == 4
        assert {said["asked"][0]["first"] for said in random} == {"a", "b"}
        both = with_judge(prepared, server, **fields, **few, order="both")
        run_stages(both, [judge])
        # The order that had been asked is not paid for again.
        assert len(server.bodies) == 2 * len(rows)
        assert len(set(server.questions)) == 2 * len(rows)
        choices = read_choices(str(folder / "choices.jsonl"))
        assert choices == {
            row["comparison_id"]: "tie"
            if row["comparison_id"] in fooled
            else max("ab", key=lambda x: len(row[f"response_{x}"]))
            for row in rows
        }
        prompts = {row["prompt"] for row in rows}
        kept = folder.parent / results(both)[1]["key"] / "prompts.json"
        examples = json.loads(kept.read_text())["examples"]
        assert len(examples) == 4 and not {e["prompt"] for e in examples} & prompts


def test_faults_of_the_endpoint(prepared):
    rows = comparisons(prepared, "expert")
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
            prepared, server, model="faulty", sets=["expert"], timeout=5.0, reasks=2
        )
        run_stages(recipe, [judge])
        folder, done = results(recipe)
        left = [r["comparison_id"] for r in rows if {never, long} & {*r.values()}]
        parsed = [r["comparison_id"] for r in read_jsonl(folder / "ratings.jsonl")]
        assert parsed == [
            r["comparison_id"] for r in rows if r["comparison_id"] not in left
        ]
        missing = read_jsonl(folder / "unparsable.jsonl")
        assert sorted(r["comparison_id"] for r in missing) == sorted(left)
        distinct = len(responses(prepared, "expert"))
        # never: two answers more; long: two refusals more, free; once: one more
        assert done["requests"] == distinct + 2 + 2 + 1
        assert done["unparsable"] == 3 + 3 + 1
        assert done["retried"] == 1 + 2 + 1
        assert done["left_out"] == len(left)
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


def test_a_refused_key_stops_and_what_was_answered_is_kept(
    prepared, monkeypatch, capsys
):
    monkeypatch.setenv("JUDGE_TEST_KEY", "sk-secret-words")
    distinct = len(responses(prepared, "train"))
    refused = threading.Event()

    def script(question: str, before: int) -> Reply:
        if refused.is_set() or len(server.bodies) > distinct // 2:
            refused.set()
            return Reply("bad key sk-secret-words", status=401)
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        fields = {"model": "keyed", "api_key_env": "JUDGE_TEST_KEY", "at_once": 2}
        recipe = with_judge(prepared, server, **fields)
        with pytest.raises(OSError, match=r"HTTP 401: .*bad key \[key\]"):
            run_stages(recipe, [judge])
        paid = server.answered
        assert 0 < paid <= distinct // 2
        assert set(server.keys) == {"Bearer sk-secret-words"}
    with JudgeServer(rate).serving() as server:
        run_stages(with_judge(prepared, server, **fields), [judge])
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
        run_stages(with_judge(prepared, server, **fields | {"model": "x"}), [judge])


def test_a_killed_worker_pays_again_for_answers_under_way_only(prepared):
    distinct = len(responses(prepared, "train"))
    at_once, killed = 2, threading.Event()

    def script(question: str, before: int) -> Reply:
        if len(server.bodies) >= distinct // 2 and not killed.is_set():
            killed.set()
            os.kill(client_of(server), signal.SIGKILL)
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        recipe = with_judge(prepared, server, model="killed", at_once=at_once)
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


def test_costs_are_refused_beforehand_and_stop_on_the_way(prepared):
    with JudgeServer(rate).serving() as server:
        fields = {"model": "dear", "at_once": 1, "max_tokens": 1, **PRICES}
        with pytest.raises(
            ValueError, match=r"max_cost 1e-06 is less than the estimate"
        ):
            run_stages(with_judge(prepared, server, **fields, max_cost=1e-6), [judge])
        assert server.bodies == []
        # A judge who writes seven times as much as it is said to.
        fields = {"model": "wordy", "at_once": 1, "max_tokens": 1, "price_out": 10.0}
        wordy = with_judge(prepared, server, **fields, max_cost=0.001)
        with pytest.raises(ValueError, match=r"max_cost 0.001 is reached"):
            run_stages(wordy, [judge])
        assert server.answered * TOKENS_OUT * 10.0 / 1e6 > 0.001
        assert server.answered < len(responses(prepared, "train"))


@pytest.mark.slow
def test_a_killed_driver_pays_again_for_answers_under_way_only(prepared, tmp_path):
    """From the command line, on data that is not prepared."""
    distinct, at_once, killed = len(responses(prepared, "train")), 2, threading.Event()

    def script(question: str, before: int) -> Reply:
        if len(server.bodies) >= distinct // 2 and not killed.is_set():
            killed.set()
            started.kill()
        return rate(question, before)

    with JudgeServer(script).serving() as server:
        recipe = with_judge(prepared, server, model="driven", at_once=at_once)
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


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny chat Llama with random weights."""
    folder = tmp_path_factory.mktemp("chat")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=512, num_hidden_layers=1, max_position_embeddings=8192, **size
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_a_real_server_of_a_model_that_knows_nothing(prepared, chat_model):
    program = str(Path(sys.executable).with_name("transformers"))
    port = free_port()
    options = ["--device", "cpu", "--port", str(port), "--default-seed", "0"]
    server = subprocess.Popen(
        [program, "serve", chat_model, *options],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 120
        while not answers(port):
            assert server.poll() is None and time.monotonic() < end, "no server"
            time.sleep(0.2)
        about = {
            "base_url": f"http://127.0.0.1:{port}/v1",
            "api_key_env": None,
            "model": chat_model,
            "name": "knows-nothing",
            "sets": ["concise"],
            "max_tokens": 6,
            "reasks": 1,
            "at_once": 2,
        }
        recipe = Recipe.model_validate(prepared.model_dump() | {"judge": about})
        run_stages(recipe, [judge])
    finally:
        server.kill()
        server.wait()
    rows, distinct = comparisons(recipe, "concise"), responses(recipe, "concise")
    folder, done = results(recipe)
    assert (done["comparisons"], done["left_out"]) == (0, len(rows))
    assert done["requests"] == done["unparsable"] == 2 * len(distinct)
    assert done["tokens_in"] > 100 * done["requests"]
    assert 0 < done["tokens_out"] <= 6 * done["requests"]
    assert len(read_jsonl(folder / "unparsable.jsonl")) == 2 * len(rows)
