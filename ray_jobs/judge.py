"""Asks a language model about a run's comparisons: ratings of responses, or choices.

    inflib judge --config recipes/judge_sycophancy.yaml
    inflib judge --run runs/demo --judge.base_url URL --judge.model NAME

Prepares the run first, if that is not done; writes judge/<name>/. Says beforehand how
many requests there will be and what they may cost. Rerun to resume: every answer is
kept as it arrives, and none is paid for twice. See docs/judging.md.
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
from inflib.judging.asking import Asker, Receipt
from inflib.judging.plan import Question, asked, chunks, cost, estimate, judge_config
from inflib.judging.plan import questions as read_questions
from inflib.judging.questions import Questions
from inflib.judging.verdicts import pending, read_answers, totals, verdicts
from inflib.storage.folder import Folder
from inflib.telemetry import Progress
from ray_jobs.shared.observe import observe, watched
from ray_jobs.shared.session import Stage, run_stages, start_ray


def check(recipe: Recipe) -> None:
    """Raises ValueError for a judge that cannot be asked, before work is spent."""
    judge_config(recipe)


def judge(recipe: Recipe) -> dict[str, Any]:
    """Write judge/<name>/ of a run that is prepared."""
    run, config = Folder(recipe.run), judge_config(recipe)
    asks = read_questions(recipe)
    stage = Stage("judge", run / "judge" / config.judge)
    inputs = _inputs(run, asks)
    if stage.is_current(inputs):
        return stage.skip()
    kept = run / "judge" / asks.key()
    kept.write_json("prompts.json", asks.record())
    questions = list(asked(run, asks))
    answers = read_answers(kept / "answers", asks)
    todo = pending(questions, asks, answers)
    if todo:
        _ask(recipe, asks, todo, _spend(config, totals(answers.values())))
        answers = read_answers(kept / "answers", asks)
    found = verdicts(questions, asks, answers)
    name = "ratings.jsonl" if config.task == "rate" else "choices.jsonl"
    stage.folder.write(name, _lines(found.rows))
    stage.folder.write("unparsable.jsonl", _lines(found.unparsable))
    comparisons = len({question.comparison_id for question in questions})
    return stage.done(
        {
            "comparisons": len(found.rows),
            "left_out": comparisons - len(found.rows),
            **found.totals,
            "spend": _spend(config, found.totals),
        },
        {"inputs": inputs, "key": asks.key(), "settings": config.model_dump()},
    )


def _ask(
    recipe: Recipe, asks: Questions, todo: list[tuple[Question, int]], spent: float
) -> None:
    """Have the workers ask; raises ValueError for limits, OSError for the endpoint."""
    config, plan = asks.config, estimate(asks.config, todo)
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
    receipts = _receipts(recipe, asks, chunks(todo, config), key)
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
    asks: Questions,
    units: list[list[tuple[Question, int]]],
    key: SecretStr,
) -> Generator[Receipt]:
    size = min(asks.config.workers, len(units))
    items = [
        {"unit": json.dumps([[vars(asked), repeat] for asked, repeat in unit])}
        for unit in units
    ]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        JudgeActor,
        fn_constructor_args=(Folder(recipe.run), asks, key, size),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=0.25,  # they wait for the endpoint
    )
    for row in rows.iter_rows():
        yield Receipt(**row)


class JudgeActor:
    """One worker of the pool: a unit of questions in, its receipt out."""

    def __init__(
        self, run: Folder, asks: Questions, key: SecretStr, num_workers: int
    ) -> None:
        observe("judge")
        self.asker = Asker(run, asks, key, num_workers)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        unit = [(Question(**q), repeat) for q, repeat in json.loads(batch["unit"][0])]
        with watched(f"judging {unit[0][0].pairs}/{unit[0][0].shard}"):
            receipt = self.asker(unit)
        return {name: [value] for name, value in vars(receipt).items()}


def _inputs(run: Folder, asks: Questions) -> str:
    """Digest of all that decides the results: questions, settings, comparisons."""
    names = ("sets", "order", "seed", "repeats", "reasks", "shots", "price_in")
    settings = asks.config.model_dump(include={*names, "price_out"})
    plans = {
        pairs: [(shard["name"], shard["sha256"]) for shard in _plan(run, pairs)]
        for pairs in asks.config.sets
    }
    whole = json.dumps([asks.key(), settings, plans], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _plan(run: Folder, pairs: str) -> list[dict[str, Any]]:
    return (run / "pairs" / pairs).read_json("plan.json")


def _key(config: JudgeConfig) -> SecretStr:
    if config.api_key_env is None:
        return SecretStr("none")
    key = os.environ.get(config.api_key_env, "")
    if not key:
        raise ValueError(
            f"the environment variable {config.api_key_env} is not set; it must hold "
            "the key (judge.api_key_env, null where the endpoint needs none)"
        )
    return SecretStr(key)


def _spend(config: JudgeConfig, total: dict[str, int]) -> float:
    return round(cost(config, total["tokens_in"], total["tokens_out"]), 6)


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def job(recipe: Recipe) -> Any:
    # Only here: it imports torch, seconds and memory that the workers save.
    from ray_jobs.prepare import prepare

    return run_stages(recipe, [check, prepare, judge])


if __name__ == "__main__":
    from ray_jobs.cli import main

    main("judge")
