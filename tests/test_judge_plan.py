"""All questions about a run, and what they will cost."""

import itertools

import pyarrow as pa
import pytest

from inflib.config import Recipe
from inflib.folder import Folder
from inflib.judging.plan import (
    asked,
    chunks,
    draw_examples,
    questions,
)
from inflib.judging.verdicts import pending
from inflib.pairs import PROMPT_DIGITS, Pair
from inflib.pairs_folder import COMPARISONS, LABELS, PairsFolder
from tests.conftest import write_jsonl
from tests.test_judge_questions import COMPARISON, config


def pair(number: int, good: bool) -> Pair:
    texts = f"answer {number} is good", f"answer {number} is bad"
    chosen, rejected = texts if good else texts[::-1]
    return Pair("f", 1, None, f"prompt {number}", chosen, rejected, False, {})


def write_set(run: Folder, pairs: str, numbers: range) -> None:
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


@pytest.fixture
def recipe(tmp_path):
    run = Folder(str(tmp_path / "run"))
    write_set(run, "train", range(6))
    write_set(run, "q", range(4, 12))
    return Recipe.model_validate(
        {
            "run": run.url,
            "prepare": {"train": {"path": "x"}, "queries": {"q": {"path": "y"}}},
            "model": {"base": "b"},
        }
    )


def judged(recipe, **fields):
    return recipe.model_copy(update={"judge": config(**fields)})


FEW = {"task": "compare", "shots": 5, "examples": "q"}


def test_examples_are_seeded_right_and_never_of_judged_prompts(recipe):
    drawn = draw_examples(judged(recipe, **FEW))
    assert drawn == draw_examples(judged(recipe, **FEW))
    assert drawn != draw_examples(judged(recipe, **FEW, seed=1))
    assert len({example.prompt for example in drawn}) == 5
    assert {e.prompt for e in drawn} <= {f"prompt {n}" for n in range(6, 12)}
    for example in drawn:
        better = example.first if example.choice == "A" else example.second
        assert better.endswith("good")
    text = questions(judged(recipe, **FEW)).text(COMPARISON, "a")
    assert all(text.count(example.prompt) == 1 for example in drawn)
    assert text.count("Right answer: ") == 5
    with pytest.raises(ValueError, match=r"'q' has 6 examples .* asks for 7"):
        draw_examples(judged(recipe, **FEW | {"shots": 7}))


def test_examples_from_a_file(recipe, tmp_path):
    numbers = [2, 2, 2, 7, 8, 8]  # 2 is judged; one of each on 8 says nothing
    better = [True, True, True, False, True, False]
    rows = [
        {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected}
        for n, good in zip(numbers, better, strict=True)
        for p in [pair(n, good)]
    ]
    path = str(write_jsonl(tmp_path / "few.jsonl", rows))
    (example,) = draw_examples(judged(recipe, **FEW | {"shots": 1, "examples": path}))
    assert example.prompt == "prompt 7"
    assert (example.second if example.choice == "B" else example.first).endswith("bad")
    write_jsonl(tmp_path / "few.jsonl", [*rows, {"chosen": "x"}])
    with pytest.raises(ValueError, match=r"few.jsonl, row 7: no field 'rejected'"):
        draw_examples(judged(recipe, **FEW | {"shots": 1, "examples": path}))


def test_equal_questions_are_asked_once(recipe):
    asks = questions(judged(recipe, sets=["train", "q"]))
    every = list(asked(Folder(recipe.run), asks))
    assert len(every) == 2 * (6 + 8)
    todo = pending(every, asks, {})
    assert len(todo) == 2 * 12  # prompts 4 and 5 are in both sets
    assert {len(q.comparison_id[:PROMPT_DIGITS]) for q, _ in todo} == {PROMPT_DIGITS}
    units = chunks(todo, asks.config)
    assert list(itertools.chain(*units)) == todo
    assert all(len({(q.pairs, q.shard) for q, _ in unit}) == 1 for unit in units)
    halves = chunks(todo, config(at_once=1, workers=12))
    assert max(map(len, halves)) == 2
