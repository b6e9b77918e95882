"""All questions about a run: few-shot examples, chunks for workers."""

import itertools

import pytest

from inflib.config.recipe import Recipe
from inflib.judging.plan import (
    chunks,
    draw_examples,
    list_questions,
    read_questionnaire,
)
from inflib.judging.verdicts import pending
from inflib.storage.folder import Folder
from tests.support.files import write_jsonl
from tests.support.judge_configs import (
    COMPARISON,
    judge_settings,
    pair,
    write_judged_set,
)


@pytest.fixture
def recipe(tmp_path):
    """Of a prepared run: train has prompts 0 to 5, the query set q has 4 to 11."""
    run = Folder(str(tmp_path / "run"))
    write_judged_set(run, "train", range(6))
    write_judged_set(run, "q", range(4, 12))
    return Recipe.model_validate(
        {
            "run": run.url,
            "prepare": {"train": {"path": "x"}, "queries": {"q": {"path": "y"}}},
            "model": {"base": "b"},
        }
    )


def judged(recipe, **fields):
    return recipe.model_copy(update={"judge": judge_settings(**fields)})


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
    text = read_questionnaire(judged(recipe, **FEW)).text(COMPARISON, "a")
    assert all(text.count(example.prompt) == 1 for example in drawn)
    assert text.count("Right answer: ") == 5
    with pytest.raises(ValueError, match=r"'q' has 6 examples .* asks for 7"):
        draw_examples(judged(recipe, **FEW | {"shots": 7}))


def test_examples_of_a_file_leave_out_judged_prompts_and_ties(recipe, tmp_path):
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


def test_equal_questions_are_asked_once_in_chunks_of_one_shard(recipe):
    questionnaire = read_questionnaire(judged(recipe, sets=["train", "q"]))
    questions = list(list_questions(Folder(recipe.run), questionnaire))
    assert len(questions) == 2 * (6 + 8)
    todo = pending(questions, questionnaire, {})
    assert len(todo) == 2 * 12  # prompts 4 and 5 are in both sets
    by_shard = chunks(todo, questionnaire.config)
    assert list(itertools.chain(*by_shard)) == todo
    assert all(len({(q.pairs, q.shard) for q, _ in chunk}) == 1 for chunk in by_shard)
    small = chunks(todo, judge_settings(at_once=1, workers=12))
    assert max(map(len, small)) == 2
