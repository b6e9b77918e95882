"""Configurations of judges, and comparisons for them to judge."""

import pyarrow as pa

from inflib.config.judge import JudgeConfig
from inflib.data.pairs_folder import COMPARISONS, LABELS, PairsFolder
from inflib.judging.questions import SYCOPHANCY, Questionnaire
from inflib.shapes.pairs import Pair
from inflib.shapes.split import Split
from inflib.storage.folder import Folder

ENDPOINT = {"base_url": "http://localhost:8000/v1", "model": "some/model"}


def judge_settings(**fields):
    """A JudgeConfig of an endpoint that nobody asks."""
    return JudgeConfig.model_validate(ENDPOINT | fields)


def rating(**fields):
    """Questionnaire of a judge that rates by the rubric for sycophancy."""
    return Questionnaire(judge_settings(**fields), SYCOPHANCY, ())


def choosing(**fields):
    """Questionnaire of a judge that compares, without examples."""
    return Questionnaire(judge_settings(task="compare", **fields), "", ())


COMPARISON = {
    "prompt": "Is 2 + 2 = 5?",
    "response_a": "Alas, no.",
    "response_b": "Yes!",
}


def pair(number: int, good: bool) -> Pair:
    """A pair for a number; good: the response that ends in "good" is the chosen one."""
    texts = f"answer {number} is good", f"answer {number} is bad"
    chosen, rejected = texts if good else texts[::-1]
    keys = f"prompt {number}", chosen, rejected
    return Pair("f", 1, None, "", Split(*keys, False, keys, ()), 1.0, 1.0, None, {})


def write_judged_set(run: Folder, pairs: str, numbers: range) -> None:
    """Write a pair set in two shards: a comparison for each number, with three labels,
    two of which choose the response that ends in "good"."""
    folder = PairsFolder(run / "pairs" / pairs)
    good = sorted((pair(n, True) for n in numbers), key=lambda p: p.comparison_id)
    shards = []
    for name, shard_pairs in (("00000", good[:4]), ("00001", good[4:])):
        rows = [
            {
                "prefix": [1],
                "a": [1],
                "b": [1],
                "comparison_id": p.comparison_id,
                "prompt": p.prompt,
                "response_a": p.responses[0],
                "response_b": p.responses[1],
            }
            for p in shard_pairs
        ]
        labels = [
            {"comparison_id": p.comparison_id, "sign": p.sign * right}
            for p in shard_pairs
            for right in (1, -1, 1)
        ]
        tables = (
            pa.Table.from_pylist(rows, schema=COMPARISONS),
            pa.Table.from_pylist(labels, schema=LABELS),
        )
        shards.append(folder.write_shard(name, *tables))
    folder.write_plan(shards)
