"""Cross-fitted margins on a real Ray: whose they are; a rerun trains nothing."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from inflib.config.run_config import bind
from inflib.data.folds import folds_of
from inflib.data.pairs_folder import PairsFolder
from inflib.data.training_plan import weighted_labels
from inflib.model.reward_folder import load_reward_model
from inflib.model.training import labels_of
from inflib.storage.folder import Folder
from ray_jobs.crossfit import job
from ray_jobs.report import report
from ray_jobs.shared.session import run_stages
from tests.support.audits import copied
from tests.support.files import mtimes

FOLDS = 3


@pytest.mark.slow
def test_labels_are_judged_by_models_that_did_not_see_them(audited, tmp_path, capsys):
    parts = ("pairs", "reward_model", "sketches", "influence")
    recipe = copied(audited, tmp_path, *parts, verify={"at_once": 2})
    bind(recipe)
    summary = run_stages(recipe, [report])
    assert any("`inflib crossfit` computes them" in note for note in summary["notes"])
    capsys.readouterr()
    done = job(recipe, FOLDS)
    assert (
        f"crossfit: {FOLDS} trainings, {FOLDS} of them to do" in capsys.readouterr().out
    )
    run = Path(recipe.run)
    written = json.loads((run / "report" / "summary.json").read_text())
    assert not any("crossfit" in note for note in written["notes"])
    for facts in written["queries"].values():
        assert 0 <= facts["detection"]["low_crossfit_margin"]["auc"] <= 1
    rates = written["quality"]["labeler"].values()
    assert rates and all(0 <= row["error_low"] <= row["error_high"] for row in rates)
    table = pq.read_table(run / "crossfit" / "margins.parquet").to_pylist()
    margins = {
        row["pair_id"]: row["crossfit_margin"]
        for row in table
        if row["pairs"] == "train"
    }
    labels = weighted_labels(PairsFolder(Folder(recipe.run) / "pairs" / "train"))
    assert margins.keys() == {pair for pair, _ in labels}
    assert done["labels_judged"] == len(margins)

    # by hand: one fold's model, from its files, on the labels that it did not see
    bank = run / "retrained"
    models = sorted(path.parent for path in bank.glob("*/fold_margins.safetensors"))
    assert len(models) == FOLDS
    fold, edits = next(iter(folds_of(labels, FOLDS).items()))
    by_hand = []
    for folder in models:
        model = recipe.model.model_copy(update={"adapter": str(folder)})
        loaded, _ = load_reward_model(
            recipe.model_copy(update={"model": model}), torch.device("cpu")
        )
        rows = labels_of(recipe, "train", fold.__contains__).to_pylist()
        with torch.no_grad():
            chosen, rejected = (
                [
                    loaded(torch.tensor([row[f"{side}_ids"]])).logits.item()
                    for row in rows
                ]
                for side in ("chosen", "rejected")
            )
        by_hand.append([a - b for a, b in zip(chosen, rejected, strict=True)])
    stored = torch.tensor([margins[pair] for pair in edits])
    close = [torch.allclose(torch.tensor(x), stored, atol=1e-4) for x in by_hand]
    assert sum(close) == 1

    job(recipe, FOLDS)
    assert "crossfit: complete, nothing to do" in capsys.readouterr().out
    # a model that is lost, as by a kill before it was complete, and no other
    (models[0] / "metrics.json").unlink()
    (run / "crossfit" / "done.json").unlink()
    before = mtimes(bank)
    job(recipe, FOLDS)
    assert "1 of them to do" in capsys.readouterr().out
    changed = {p.parent for p, t in mtimes(bank).items() if before.get(p) != t}
    assert {path for path in changed if path in models} == {models[0]}
    again = pq.read_table(run / "crossfit" / "margins.parquet").to_pylist()
    assert again == table
