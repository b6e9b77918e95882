"""Folds: no label is judged by a model that was trained on its prompt."""

import re

import numpy as np
import pytest

from inflib.data.folds import Fold, folds_of
from inflib.data.pairs_folder import PairsFolder
from inflib.data.tokenizer import load_tokenizer
from inflib.data.training_plan import Steps, place, weighted_labels
from inflib.model.label_ids import labelled_ids
from inflib.model.planned_training import PlannedTraining
from inflib.storage.folder import Folder
from tests.support.planned_runs import ROWS
from tests.support.prepared_run import build_run

FOLDS = 4
NAMES = [f"{i * 2654435761 % 2**32:08x}" * 4 for i in range(4_000)]


def test_no_label_is_judged_by_a_model_that_was_trained_on_its_prompt(tmp_path):
    recipe = build_run(tmp_path, ROWS)  # two labels on each prompt
    folder = PairsFolder(Folder(recipe.run) / "pairs" / "train")
    tokenizer, judged = load_tokenizer(recipe.model), []

    def questions(table):
        texts = (tokenizer.decode(ids) for ids in table["chosen_ids"].to_pylist())
        return [re.findall(r"Question (\d+)", text)[0] for text in texts]

    everything = set(questions(labelled_ids(folder)))
    held_out = 0.3
    for fold, edits in folds_of(weighted_labels(folder), FOLDS).items():
        plan = PlannedTraining.of(recipe, edits, Steps(9, 6, held_out))
        unseen = questions(labelled_ids(folder, None, fold.__contains__))
        assert len(edits) == len(unseen)
        assert not set(unseen) & set(questions(plan.labels))
        of_holdout = set(
            questions(labelled_ids(folder, None, plan.holdout.__contains__))
        )
        assert set(questions(plan.labels)) == everything - set(unseen) - of_holdout
        assert plan.told == 6
        judged += unseen
    assert sorted(judged) == sorted(questions(labelled_ids(folder)))  # held out, too


def test_folds_are_equal_parts_whatever_else_a_prompt_is_chosen_for():
    """Within 4 standard errors."""
    numbers = np.array(
        [[name in Fold(k, FOLDS) for k in range(FOLDS)] for name in NAMES]
    )
    assert (numbers.sum(1) == 1).all()
    held_out = np.array([place(name) < 0.2 for name in NAMES])
    for part in (numbers, numbers[held_out]):
        error = np.sqrt(0.25 * 0.75 / len(part))
        assert np.abs(part.mean(0) - 1 / FOLDS).max() < 4 * error


def test_too_few_folds_or_prompts_are_refused_and_empty_folds_are_left_out():
    with pytest.raises(ValueError, match="2 at least"):
        folds_of([("a", NAMES[0])], 1)
    with pytest.raises(ValueError, match="too few prompts"):
        folds_of([("a", NAMES[0]), ("b", NAMES[0])], 5)
    found = folds_of([(name, name) for name in NAMES[:3]], 50)
    dropped = [pair for edits in found.values() for pair in edits]
    assert all(found.values()) and sorted(dropped) == sorted(NAMES[:3])
