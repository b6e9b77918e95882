"""crossfit/: whose margin a label gets, and that it is of the labels that there are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from inflib.data.folds import folds_of
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.model.reward_folder import write_fold_margins, write_margins
from inflib.scores.fair_margins import (
    MARGINS,
    MISSING,
    OUTDATED,
    fair_margins,
    write_fair_margins,
)
from inflib.storage.folder import Folder
from tests.support.prepared_run import ROWS, build_run

FOLDS = 3


def pairs_folder(recipe, pairs):
    return PairsFolder(Folder(recipe.run) / "pairs" / pairs)


def write_fair(recipe, judge):
    """crossfit/ of a run, by models of three folds that were never trained.

    judge: function of (number of the fold, pair_id) to a margin.
    """
    models = {}
    labels = weighted_labels(pairs_folder(recipe, "train"))
    for fold in folds_of(labels, FOLDS):
        folder = models[fold] = Folder(recipe.run) / "retrained" / str(fold.number)
        inside = [pair for pair, comparison in labels if comparison in fold]
        values = [judge(fold.number, pair) for pair in inside]
        write_fold_margins(folder, torch.tensor(values, dtype=torch.float64))
        of_sets = {}
        for query in recipe.prepare.queries:
            ids = [p for p, _ in weighted_labels(pairs_folder(recipe, query))]
            of_sets[query] = torch.tensor([judge(fold.number, pair) for pair in ids])
        write_margins(folder, of_sets)
    binding = write_fair_margins(recipe, models)
    (Folder(recipe.run) / "crossfit").write_json("done.json", binding)
    return models


@pytest.fixture
def run(tmp_path):
    """12 labels on as many prompts, of training and of the query set q; the second one
    is a tie, the third has no weight, the fourth is turned."""
    recipe = build_run(tmp_path, ROWS)
    targets = {"p1": 0.5, "p3": 0.25}
    for pairs in ("train", "q"):
        folder, plan = pairs_folder(recipe, pairs), []
        for shard in pairs_folder(recipe, pairs).plan():
            labels = folder.labels(shard)
            ids = labels["pair_id"].to_pylist()
            changed = {
                "target": [targets.get(pair, 1.0) for pair in ids],
                "weight": [0.0 if pair == "p2" else 1.0 for pair in ids],
            }
            for name, values in changed.items():
                place = labels.column_names.index(name)
                labels = labels.set_column(place, name, pa.array(values))
            digest = folder.write_labels(shard.name, labels)
            plan.append(replace(shard, labels_sha256=digest))
        folder.write_plan(plan)
    return recipe


def by_fold(number, pair_id):
    return 100.0 * number + int(pair_id[1:])


def test_each_label_has_the_margin_of_the_model_of_its_prompts_fold(run):
    models = write_fair(run, by_fold)
    fair, why_not = fair_margins(run)
    assert fair is not None and not why_not
    number_of = {
        pair: fold.number
        for pair, comparison in weighted_labels(pairs_folder(run, "train"))
        for fold in models
        if comparison in fold
    }
    assert len(set(number_of.values())) > 1 and len(number_of) == 11
    ids = [row["pair_id"] for row in reversed(ROWS)]
    expected = [by_fold(number_of[p], p) if p in number_of else np.nan for p in ids]
    np.testing.assert_array_equal(fair.of(ids), expected)
    np.testing.assert_array_equal(fair.of(ids, "q"), expected)  # the same prompts
    straight = dict(zip(ids, expected, strict=True))
    trusted = [
        straight["p0"],
        -straight["p3"],
        *(straight[f"p{i}"] for i in range(4, 12)),
    ]
    np.testing.assert_array_equal(fair.trusted(run), trusted)
    table = pq.read_table(Path(run.run) / "crossfit" / MARGINS)
    assert table.column_names == ["pairs", "pair_id", "crossfit_margin"]
    assert len(table) == 22


def test_margins_that_are_missing_changed_or_of_other_labels_are_none(run):
    assert fair_margins(run) == (None, MISSING)
    write_fair(run, by_fold)
    file = Path(run.run) / "crossfit" / MARGINS
    data = file.read_bytes()
    file.unlink()
    assert fair_margins(run) == (None, MISSING)
    write_fair(run, lambda number, pair: by_fold(number, pair) + 1)
    file.write_bytes(data)
    assert fair_margins(run) == (None, OUTDATED)
    write_fair(run, by_fold)
    assert fair_margins(run)[0] is not None
    for pairs in ("train", "q"):
        plan = pairs_folder(run, pairs).plan()
        pairs_folder(run, pairs).write_plan(plan[:-1])
        assert fair_margins(run) == (None, OUTDATED)
        pairs_folder(run, pairs).write_plan(plan)
    assert fair_margins(run)[0] is not None
