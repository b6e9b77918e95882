"""Judging over real endpoints: exact results of a scripted one, a real model server."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from inflib.config.judge import JudgeConfig
from inflib.config.recipe import Recipe
from inflib.data.ratings import read_choices, read_ratings
from inflib.storage.folder import Folder
from ray_jobs.judge import _check_name, judge
from ray_jobs.prepare import prepare
from ray_jobs.shared.session import run_stages
from tests.support.files import read_jsonl
from tests.support.judge_server import TOKENS_IN, TOKENS_OUT, JudgeServer, Reply
from tests.support.judged import (
    PRICES,
    comparisons,
    longer,
    rate,
    responses,
    results,
    stars,
    texts,
    with_judge,
)
from tests.support.models import build_tokenizer
from tests.support.ports import answers, free_port


def test_every_response_is_rated_once_whatever_the_labels(judged_run):
    rows = comparisons(judged_run, "train", "expert", "concise")
    shown = responses(judged_run, "train", "expert", "concise")
    distinct = {row["comparison_id"]: row for row in rows}
    assert len(distinct) < len(rows)  # comparisons of concise are in expert, too
    with JudgeServer(rate).serving() as server:
        recipe = with_judge(
            judged_run,
            server,
            model="rater",
            name="stars",
            sets=["train", "expert", "concise"],
            workers=2,
            **PRICES,
        )
        run_stages(recipe, [prepare, judge])
        rated = [
            (t["INSTRUCTION"], t["RESPONSE"]) for t in map(texts, server.questions)
        ]
        assert Counter(rated) == Counter(shown)
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
        fewer = with_judge(judged_run, server, model="rater", name="fewer")
        run_stages(fewer, [prepare, judge])
        assert len(server.bodies) == count
    ratings = read_ratings([str(folder / "ratings.jsonl")], (1.0, 5.0))
    row = rows[0]
    a, b = stars(row["response_a"]), stars(row["response_b"])
    assert ratings.rating("any", row["comparison_id"], -1) == (a, b)


@pytest.mark.slow
def test_choices_in_both_orders_pay_for_the_second_order_only(judged_run):
    rows = comparisons(judged_run, "train")
    fooled = {row["comparison_id"] for row in rows[::3]}  # the judge says A to these
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
        once = with_judge(judged_run, server, **fields, **few)
        run_stages(once, [judge])
        assert len(server.bodies) == len(rows)
        folder, _ = results(once)
        random = read_jsonl(folder / "choices.jsonl")
        for row, result in zip(rows, random, strict=True):
            (only,) = result["asked"]
            better = max("ab", key=lambda x: len(row[f"response_{x}"]))
            expected = only["first"] if row["comparison_id"] in fooled else better
            assert result["choice"] == only["choice"] == expected
            assert result["shots"] == 4
        assert {result["asked"][0]["first"] for result in random} == {"a", "b"}
        both = with_judge(judged_run, server, **fields, **few, order="both")
        run_stages(both, [judge])
        # The order that is answered is not paid for again.
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
        prompts_file = folder.parent / results(both)[1]["key"] / "prompts.json"
        examples = json.loads(prompts_file.read_text())["examples"]
        assert len(examples) == 4 and not {e["prompt"] for e in examples} & prompts


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


@pytest.fixture(scope="module")
def model_server(chat_model: str) -> Iterator[str]:
    """URL of a real server of that model."""
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
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
@pytest.mark.parametrize("shots", [None, 0, 3])
def test_answers_of_a_real_model_that_cannot_be_read_are_counted_and_left_out(
    judged_run, model_server, chat_model, shots
):
    """It rates responses, or (with a number of shots) compares them; its weights are
    random."""
    settings = {
        "base_url": model_server,
        "api_key_env": None,
        "model": chat_model,
        "name": f"knows-nothing-{shots}",
        "sets": ["concise"],
        "max_tokens": 6,
        "reasks": 1,
        "at_once": 2,
    }
    if shots is not None:
        settings |= {"task": "compare", "shots": shots}
        settings |= {"examples": "expert"} if shots else {}
    recipe = Recipe.model_validate(judged_run.model_dump() | {"judge": settings})
    run_stages(recipe, [judge])
    rows, distinct = comparisons(recipe, "concise"), responses(recipe, "concise")
    rates = shots is None
    num_questions = len(distinct) if rates else len(rows)
    folder, done = results(recipe)
    assert (done["comparisons"], done["left_out"]) == (0, len(rows))
    assert done["requests"] == done["unparsable"] == 2 * num_questions
    assert done["tokens_in"] > 100 * done["requests"]
    assert 0 < done["tokens_out"] <= 6 * done["requests"]
    unparsable = read_jsonl(folder / "unparsable.jsonl")
    assert len(unparsable) == len(rows) * (2 if rates else 1)  # both responses
    prompts_file = folder.parent / done["key"] / "prompts.json"
    assert len(json.loads(prompts_file.read_text())["examples"]) == (shots or 0)


def test_a_judge_does_not_overwrite_another_models_results(tmp_path):
    """owner/model and owner-model would share a folder."""
    fields = {"base_url": "http://h/v1", "model": "owner/model"}
    config = JudgeConfig.model_validate(fields)
    folder = Folder(str(tmp_path / config.judge))
    _check_name(folder, config)
    folder.write_json("done.json", {"settings": config.model_dump()})
    _check_name(folder, JudgeConfig.model_validate(fields | {"seed": 5}))
    other = JudgeConfig.model_validate(fields | {"model": "owner-model"})
    assert other.judge == config.judge
    with pytest.raises(ValueError, match=r"choose another judge\.name"):
        _check_name(folder, other)
    named = fields | {"name": config.judge, "task": "compare"}
    with pytest.raises(ValueError, match=r"choose another judge\.name"):
        _check_name(folder, JudgeConfig.model_validate(named))
