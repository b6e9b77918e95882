"""Configurations of judges, and a comparison to judge."""

import pyarrow as pa

from inflib.config.judge import JudgeConfig
from inflib.data.pairs import Pair
from inflib.data.pairs_folder import COMPARISONS, LABELS, PairsFolder
from inflib.judging.questions import SYCOPHANCY, Questions
from inflib.storage.folder import Folder

ENDPOINT = {"base_url": "http://localhost:8000/v1", "model": "some/model"}


def judge_settings(**fields):
    return JudgeConfig.model_validate(ENDPOINT | fields)


def rating(**fields):
    return Questions(judge_settings(**fields), SYCOPHANCY, ())


def choosing(**fields):
    return Questions(judge_settings(task="compare", **fields), "", ())


COMPARISON = {
    "prompt": "Is 2 + 2 = 5?",
    "response_a": "Alas, no.",
    "response_b": "Yes!",
}


def pair(number: int, good: bool) -> Pair:
    texts = f"answer {number} is good", f"answer {number} is bad"
    chosen, rejected = texts if good else texts[::-1]
    return Pair("f", 1, None, f"prompt {number}", chosen, rejected, False, {})


def write_judged_set(run: Folder, pairs: str, numbers: range) -> None:
    folder = PairsFolder(run / "pairs" / pairs)
    found = sorted((pair(n, True) for n in numbers), key=lambda p: p.comparison_id)
    shards = []
    for name, part in (("00000", found[:4]), ("00001", found[4:])):
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
            for p in part
        ]
        labels = [
            {"comparison_id": p.comparison_id, "sign": p.sign * right}
            for p in part
            for right in (1, -1, 1)
        ]
        tables = (
            pa.Table.from_pylist(rows, schema=COMPARISONS),
            pa.Table.from_pylist(labels, schema=LABELS),
        )
        shards.append(folder.write_shard(name, *tables))
    folder.write_plan(shards)
