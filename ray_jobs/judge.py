"""Have a language model rate or compare the responses of a run.

    inflib judge --config recipes/judge_sycophancy.yaml
    inflib judge --run runs/demo --judge.base_url URL --judge.model NAME

Prepares the run first, if that is not done; writes judge/<name>/. Prints beforehand how
many requests there will be and what they may cost. Rerun to resume: every answer is
stored as it arrives, and none is paid for twice. See docs/judging.md.
"""

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import closing
from typing import Any

import ray
from pydantic import SecretStr

from inflib.config.judge import JudgeConfig
from inflib.config.recipe import Recipe
from inflib.judging.asking import Asker, ChunkReceipt
from inflib.judging.plan import (
    Question,
    chunks,
    cost,
    estimate,
    judge_config,
    list_questions,
    read_questionnaire,
)
from inflib.judging.questions import Questionnaire
from inflib.judging.verdicts import pending, read_answers, totals, verdicts
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.session import run_stages, start_ray
from ray_jobs.shared.stage import Stage


def check(recipe: Recipe) -> None:
    """Raises ValueError for a recipe without a judge, before the run is prepared."""
    judge_config(recipe)


def judge(recipe: Recipe) -> dict[str, Any]:
    """Write judge/<name>/ of a run that is prepared; returns its totals."""
    run, config = Folder(recipe.run), judge_config(recipe)
    questionnaire = read_questionnaire(recipe)
    stage = Stage("judge", run / "judge" / config.judge)
    _check_name(stage.folder, config)
    inputs = _inputs(run, questionnaire)
    if stage.is_current(inputs):
        return stage.skip()
    cache = run / "judge" / questionnaire.key()
    cache.write_json("prompts.json", questionnaire.record())
    questions = list(list_questions(run, questionnaire))
    answers = read_answers(cache / "answers", questionnaire)
    todo = pending(questions, questionnaire, answers)
    if todo:
        _ask(recipe, questionnaire, todo, _spend(config, totals(answers.values())))
        answers = read_answers(cache / "answers", questionnaire)
    results = verdicts(questions, questionnaire, answers)
    name = "ratings.jsonl" if config.task == "rate" else "choices.jsonl"
    stage.folder.write(name, _lines(results.rows))
    stage.folder.write("unparsable.jsonl", _lines(results.unparsable))
    comparisons = len({question.comparison_id for question in questions})
    return stage.done(
        {
            "comparisons": len(results.rows),
            "left_out": comparisons - len(results.rows),
            **results.totals,
            "spend": _spend(config, results.totals),
        },
        {"inputs": inputs, "key": questionnaire.key(), "settings": config.model_dump()},
    )


def _check_name(folder: Folder, config: JudgeConfig) -> None:
    """Raise ValueError where another model, or another task, has the judge's name: its
    results would be overwritten."""
    if not folder.exists("done.json"):
        return
    before = folder.read_json("done.json").get("settings", {})
    for field in ("model", "task"):
        had, has = before.get(field), getattr(config, field)
        if had is not None and had != has:
            raise ValueError(
                f"{folder.url} holds the results of {field} {had!r}, not {has!r}: "
                "choose another judge.name"
            )


def _ask(
    recipe: Recipe,
    questionnaire: Questionnaire,
    todo: list[tuple[Question, int]],
    spent: float,
) -> None:
    """Have the workers ask what is to do.

    Raises ValueError where judge.max_cost is too little, OSError where the endpoint
    makes asking stop. spent: before this call.
    """
    config = questionnaire.config
    plan = estimate(config, todo)
    print(f"judge: {config.judge}: {plan}; spent so far {spent:.4f}", flush=True)
    limit = config.max_cost
    if limit is not None and spent + plan.cost > limit:
        raise ValueError(
            f"judge.max_cost {limit:g} is less than the estimate with what was spent, "
            f"{spent + plan.cost:.4f}; nothing was asked"
        )
    key = _key(config)
    start_ray(recipe)
    observe("judge")
    progress = Progress("judge", len(todo), "questions")
    receipts = _receipts(recipe, questionnaire, chunks(todo, config), key)
    with closing(progress), closing(receipts):  # leaving early ends the workers
        for receipt in receipts:
            progress.advance(receipt.questions)
            spent += cost(config, receipt.tokens_in, receipt.tokens_out)
            if receipt.problem:
                raise OSError(f"{receipt.problem}. Answers so far are kept; rerun")
            if limit is not None and spent > limit:
                raise ValueError(
                    f"judge.max_cost {limit:g} is reached: {spent:.4f} were spent. "
                    "Answers so far are kept; raise it to go on"
                )


def _receipts(
    recipe: Recipe,
    questionnaire: Questionnaire,
    work: list[list[tuple[Question, int]]],
    key: SecretStr,
) -> Generator[ChunkReceipt]:
    """The chunks' receipts, from a pool of workers, as they finish."""
    size = min(questionnaire.config.workers, len(work))
    items = [
        {"chunk": json.dumps([[vars(question), repeat] for question, repeat in chunk])}
        for chunk in work
    ]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        JudgeActor,
        fn_constructor_args=(Folder(recipe.run), questionnaire, key, size),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=0.25,  # they wait for the endpoint
    )
    for row in rows.iter_rows():
        yield ChunkReceipt(**row)


class JudgeActor:
    """One worker of the pool: a chunk of questions in, its receipt out."""

    def __init__(
        self,
        run: Folder,
        questionnaire: Questionnaire,
        key: SecretStr,
        num_workers: int,
    ) -> None:
        observe("judge")
        self.asker = Asker(run, questionnaire, key, num_workers)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        chunk = [(Question(**q), repeat) for q, repeat in json.loads(batch["chunk"][0])]
        with watched(f"judging {chunk[0][0].pairs}/{chunk[0][0].shard}"):
            receipt = self.asker(chunk)
        return {name: [value] for name, value in vars(receipt).items()}


def _inputs(run: Folder, questionnaire: Questionnaire) -> str:
    """Digest of all that decides the results: questions, settings, comparisons."""
    names = ("sets", "order", "seed", "repeats", "reasks", "shots", "price_in")
    settings = questionnaire.config.model_dump(include={*names, "price_out"})
    plans = {
        pairs: [(shard["name"], shard["sha256"]) for shard in _plan(run, pairs)]
        for pairs in questionnaire.config.sets
    }
    facts = json.dumps([questionnaire.key(), settings, plans], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _plan(run: Folder, pairs: str) -> list[dict[str, Any]]:
    return (run / "pairs" / pairs).read_json("plan.json")


def _key(config: JudgeConfig) -> SecretStr:
    """The endpoint's key, from the driver's environment. Raises ValueError naming the
    variable that is not set."""
    if config.api_key_env is None:
        return SecretStr("none")
    key = os.environ.get(config.api_key_env, "")
    if not key:
        raise ValueError(
            f"the environment variable {config.api_key_env} is not set; it must hold "
            "the key (judge.api_key_env, null where the endpoint needs none)"
        )
    return SecretStr(key)


def _spend(config: JudgeConfig, tokens: dict[str, int]) -> float:
    return round(cost(config, tokens["tokens_in"], tokens["tokens_out"]), 6)


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def job(recipe: Recipe) -> Any:
    # Imported here: it loads torch, which takes seconds and memory from each worker.
    from ray_jobs.prepare import prepare

    return run_stages(recipe, [check, prepare, judge])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("judge")
