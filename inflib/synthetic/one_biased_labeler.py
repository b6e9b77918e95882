"""A seed to generated preference data with one biased labeler, for demo and tests.

A question gets two answers: one on its topic (better) and one on another topic. Their
numbers of sentences are drawn without regard to quality. Of the five labelers, four
choose the better answer and one the longer. The query set is labelled by an expert,
who chooses the better answer.
"""

import json
import random
from pathlib import Path
from typing import Any

from inflib.synthetic.topics import OPENERS, QUESTIONS, SENTENCES

LABELERS = ("ana", "ben", "chloe", "dev", "emil")


def generate(folder: Path, seed: int, num_pairs: int, num_queries: int) -> str:
    """Write train.jsonl and expert.jsonl; returns the name of the biased labeler.

    Rows of train.jsonl have the columns pair_id, prompt, chosen, rejected, labeler and
    wrong (true where the worse answer was chosen). About a fifth of its num_pairs
    comparisons are labelled by two labelers. expert.jsonl has num_queries rows.
    """
    rng = random.Random(seed)
    planted = rng.choice(LABELERS)
    rows = []
    for i in range(num_pairs):
        question, better, worse = comparison(rng)
        for labeler in rng.sample(LABELERS, 2 if rng.random() < 0.2 else 1):
            wrong = labeler == planted and len(worse) > len(better)
            rows.append(
                {
                    "pair_id": f"{labeler}-{i}",
                    "prompt": question,
                    "chosen": worse if wrong else better,
                    "rejected": better if wrong else worse,
                    "labeler": labeler,
                    "wrong": wrong,
                }
            )
    expert = []
    for i in range(num_queries):
        question, better, worse = comparison(rng)
        expert.append(
            {
                "pair_id": f"expert-{i}",
                "prompt": question,
                "chosen": better,
                "rejected": worse,
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.jsonl", rows)
    _write(folder / "expert.jsonl", expert)
    return planted


def comparison(rng: random.Random) -> tuple[str, str, str]:
    """(question, answer on its topic, answer on another topic), of unequal lengths."""
    topic, wrong_topic = rng.sample(sorted(QUESTIONS), 2)
    better, worse = _answer(rng, topic), _answer(rng, wrong_topic)
    while len(better) == len(worse):
        worse = _answer(rng, wrong_topic)
    return rng.choice(QUESTIONS[topic]) + "\n", better, worse


def _answer(rng: random.Random, topic: str) -> str:
    sentences = rng.sample(SENTENCES[topic], rng.randint(1, 4))
    return " ".join(filter(None, [rng.choice(OPENERS), *sentences]))


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
